from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest

from hawk_assets.core.schemas import COMMITMENTS_OF_TRADERS_SCHEMA, MARKET_DATA_SCHEMA, validate
from hawk_assets.sources.base import MarketDataSource, empty_table

MONTHS = pd.date_range("2020-01-01", periods=4, freq="MS")


@dataclass
class Held(MarketDataSource):
    """A source with two frames in memory."""

    bars: pd.DataFrame
    reports: pd.DataFrame
    description: str = "held in memory"

    def fetch_market_data(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        rows = self.bars[self.bars["date"].between(start, end, inclusive="left")]
        return rows.sort_values(["date", "ticker"], ignore_index=True)

    def fetch_commitments_of_traders(self, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
        rows = self.reports[self.reports["release_date"].between(start, end, inclusive="left")]
        return rows.sort_values(["release_date", "contract"], ignore_index=True)


def held() -> Held:
    """Bars in January, February and April; one report released in February, one in April."""
    days = pd.to_datetime(["2020-01-02", "2020-01-31", "2020-02-03", "2020-04-30"])
    rows = [(day, ticker) for day in days for ticker in ("A", "B")]
    bars = pd.DataFrame(rows, columns=["date", "ticker"])
    for shift, name in enumerate(("open", "low", "close", "high", "volume")):
        bars[name] = 10.0 + np.arange(len(bars)) + shift
    reports = pd.DataFrame(
        {
            "report_date": pd.to_datetime(["2020-01-28", "2020-04-14"]),
            "release_date": pd.to_datetime(["2020-02-03", "2020-04-17"]),
            "contract": "A",
            **dict.fromkeys(list(COMMITMENTS_OF_TRADERS_SCHEMA.columns)[3:], 5.0),
        }
    )
    return Held(bars[list(MARKET_DATA_SCHEMA.columns)], reports)


def changed(before: Held, after: Held) -> list[str]:
    old, new = before.versions(MONTHS), after.versions(MONTHS)
    return [f"{m:%Y-%m}" for m in MONTHS if old.get(m) != new.get(m)]


def test_a_version_is_the_same_in_every_process() -> None:
    expected = ["06b9e9b7af85aa17", "77f5be82bae736a5", "e184cf8dde2e7d75"]
    assert held().versions(MONTHS) == dict(zip(MONTHS[[0, 1, 3]], expected, strict=True))


def test_months_without_rows_are_absent() -> None:
    assert list(held().versions(MONTHS)) == list(MONTHS[[0, 1, 3]])
    assert held().versions(MONTHS[[2]]) == {}
    assert held().versions(MONTHS[:0]) == {}


def test_the_latest_session_is_that_of_the_requested_months() -> None:
    assert held().poll(MONTHS).latest_session == pd.Timestamp("2020-04-30")
    assert held().poll(MONTHS[:3]).latest_session == pd.Timestamp("2020-02-03")
    assert held().poll(MONTHS[[2]]).latest_session is None


def test_a_date_without_a_close_is_not_the_latest_session() -> None:
    source = held()
    last = source.bars["date"] == source.bars["date"].max()
    source.bars = source.bars.assign(close=source.bars["close"].mask(last))
    before = source.bars.loc[~last, "date"].max()
    assert source.poll(MONTHS).latest_session == before
    assert changed(held(), source) == ["2020-04"], "but it is a change"


def test_a_month_with_reports_only_has_a_version() -> None:
    source = held()
    source.bars = source.bars[source.bars["date"] < MONTHS[3]]
    assert list(source.versions(MONTHS)) == list(MONTHS[[0, 1, 3]])
    assert changed(held(), source) == ["2020-04"]


def test_a_version_does_not_depend_on_other_requested_months() -> None:
    everything = held().versions(MONTHS)
    for month in MONTHS[[0, 1, 3]]:
        assert held().versions(pd.DatetimeIndex([month])) == {month: everything[month]}
    assert held().versions(MONTHS[::-1].repeat(2)) == everything


def test_row_order_does_not_change_a_version() -> None:
    source = held()
    source.bars = source.bars.sample(frac=1, random_state=3)
    source.reports = source.reports[::-1]
    assert changed(held(), source) == []


@pytest.mark.parametrize("column", ["open", "high", "low", "close", "volume"])
def test_a_restated_price_marks_only_its_month(column: str) -> None:
    source = held()
    row = source.bars.index[source.bars["date"] == "2020-02-03"][0]
    source.bars.loc[row, column] = np.nextafter(source.bars.loc[row, column], np.inf)
    assert changed(held(), source) == ["2020-02"]


@pytest.mark.parametrize("column", ["report_date", "commercial_long", "open_interest"])
def test_a_restated_report_marks_only_the_month_of_its_release(column: str) -> None:
    source = held()
    by = pd.Timedelta(days=-1) if column == "report_date" else 1.0
    source.reports.loc[0, column] = source.reports.loc[0, column] + by
    assert changed(held(), source) == ["2020-02"]


def test_a_price_withdrawn_a_new_bar_and_a_renamed_ticker_mark_their_month() -> None:
    source = held()
    source.bars.loc[0, "close"] = np.nan
    source.bars.loc[4, "ticker"] = "C"
    last = source.bars.tail(1).assign(date=pd.Timestamp("2020-03-02"))
    source.bars = pd.concat([source.bars, last])
    assert changed(held(), source) == ["2020-01", "2020-02", "2020-03"]


def test_different_bits_of_a_hole_or_a_zero_do_not_change_a_version() -> None:
    plain, odd = held(), held()
    plain.bars.loc[0, ["close", "volume"]] = [np.nan, 0.0]
    close = plain.bars["close"].to_numpy(copy=True)
    close.view(np.uint64)[0] = 0x7FF80000000007A2
    odd.bars["close"] = close
    odd.bars.loc[0, "volume"] = -0.0
    assert odd.bars["close"].to_numpy().view(np.uint64)[0] == 0x7FF80000000007A2
    assert changed(plain, odd) == []


@pytest.mark.parametrize(
    "schema", [MARKET_DATA_SCHEMA, COMMITMENTS_OF_TRADERS_SCHEMA], ids=lambda s: s.name
)
def test_an_empty_table_keeps_its_schema(schema) -> None:  # type: ignore[no-untyped-def]
    assert list(validate(schema, empty_table(schema), "nothing").columns) == list(schema.columns)
