"""Weekly commitments of traders for daily models: known only after their release."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from hawk_assets.core.types import Array, Dates, Indices
from hawk_assets.model_states.cftc_codes import CONTRACTS

NUMBERS = (
    "commercial_long",
    "commercial_short",
    "noncommercial_long",
    "noncommercial_short",
    "open_interest",
)
_DAYS_PER_MONTH = 30
_LONGEST_DELAY = 60


def months_of_reports(count: int) -> int:
    """Months before a month that certainly contain ``count`` weekly releases.

    Sixty days are added for a government shutdown, during which nothing is published.
    """
    return 0 if count == 0 else int(np.ceil((7 * count + _LONGEST_DELAY) / _DAYS_PER_MONTH)) + 1


@dataclass(frozen=True)
class Reports:
    """The reports of one contract, by release and report date.

    :param released: shape ``(n_reports,)``
    :param numbers: ``NUMBERS`` in contracts, each of shape ``(n_reports,)``
    """

    released: Dates
    numbers: dict[str, Array]

    @classmethod
    def none(cls) -> "Reports":
        """No reports."""
        return cls(np.empty(0, "M8[ns]"), {name: np.empty(0) for name in NUMBERS})

    def since(self, start: np.datetime64) -> "Reports":
        """The reports released on ``start`` or later."""
        first = int(np.searchsorted(self.released, start.astype("datetime64[ns]")))
        return Reports(self.released[first:], {k: v[first:] for k, v in self.numbers.items()})

    def before(self, dates: Dates, count: int) -> dict[str, Array]:
        """The reports public before each date: one released on a Friday counts from Monday on.

        :param dates: shape ``(n_bars,)``
        :param count: how many reports per date
        :return: ``NUMBERS`` of shape ``(n_bars, count)``, oldest first, NaN in front where there
            are fewer; ``report_age`` in days since the latest release, NaN where there is none
        """
        known = np.searchsorted(self.released, dates, side="left")
        rows: Indices = known[:, None] + np.arange(count)
        found = {
            name: np.concatenate([np.full(count, np.nan), values])[rows]
            for name, values in self.numbers.items()
        }
        latest = np.concatenate([[np.datetime64("NaT", "ns")], self.released])[known]
        return found | {"report_age": (dates - latest) / np.timedelta64(1, "D")}


def reports_of(ticker: str, commitments: pd.DataFrame | None) -> Reports:
    """The reports for a ticker: of its contract, or of a contract that has the ticker's name.

    :param commitments: commitments_of_traders, any row order; a report with a hole is dropped
    """
    if commitments is None:
        return Reports.none()
    mine = commitments[commitments["contract"] == CONTRACTS.get(ticker, ticker)]
    mine = mine.dropna(subset=list(NUMBERS)).sort_values(["release_date", "report_date"])
    return Reports(
        mine["release_date"].to_numpy("datetime64[ns]"),
        {name: mine[name].to_numpy(np.float64) for name in NUMBERS},
    )
