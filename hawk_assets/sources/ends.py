"""Whether a source ends before, or starts later than, what is stored: an incomplete file does."""

import pandas as pd


def at_an_end(gone: pd.DataFrame, fetched: pd.DataFrame) -> list[str]:
    """Tickers that lose rows at the first or the last of their sessions within the months fetched.

    :param gone: date and ticker of stored rows that were not fetched
    :param fetched: of the same months
    """
    lost = gone.groupby("ticker")["date"].agg(["min", "max"])
    held = fetched.groupby("ticker")["date"].agg(["min", "max"]).reindex(lost.index)
    inside = (held["min"] < lost["min"]) & (held["max"] > lost["max"])
    return [str(ticker) for ticker in lost.index[~inside]]


def explain_shorter(
    stored: pd.DataFrame, offered: pd.DataFrame, tickers: list[str], table: str
) -> tuple[str, pd.Timestamp] | None:
    """What a source lacks at an end, in words that name both ends; None where it lacks nothing.

    :param stored: date and ticker of all that is stored
    :param offered: date and ticker of all that the source has
    :param tickers: those to look at
    :return: the words, and the first date that would be dropped
    """
    ours, theirs = (
        frame[frame["ticker"].isin(tickers)].groupby("ticker")["date"].agg(["min", "max"])
        for frame in (stored, offered)
    )
    theirs = theirs.reindex(ours.index)
    early, late = theirs["max"] < ours["max"], theirs["min"] > ours["min"]
    absent = theirs["max"].isna()
    short = early | late | absent
    if not short.any():
        return None
    since = pd.concat([ours["min"][late | absent], theirs["max"][early] + pd.Timedelta(days=1)])
    if offered.empty:
        what = f"the source has no rows, and {table} ends on {stored['date'].max():%Y-%m-%d}"
    elif offered["date"].max() < stored["date"].max():
        what = (
            f"the source ends on {offered['date'].max():%Y-%m-%d}, {table} on "
            f"{stored['date'].max():%Y-%m-%d}"
        )
    elif offered["date"].min() > stored["date"].min():
        what = (
            f"the source starts on {offered['date'].min():%Y-%m-%d}, {table} on "
            f"{stored['date'].min():%Y-%m-%d}"
        )
    else:
        ticker, others = short.index[short][0], int(short.sum()) - 1
        what = _of_ticker(ticker, ours.loc[ticker], theirs.loc[ticker], table)
        what += f", and {others} more ticker{'s' * (others > 1)}" * (others > 0)
    return what, since.min()


def _of_ticker(
    ticker: str, ours: "pd.Series[pd.Timestamp]", theirs: "pd.Series[pd.Timestamp]", table: str
) -> str:
    first, last = ours["min"], ours["max"]
    if pd.isna(theirs["max"]):
        return (
            f"the source no longer has {ticker}, which is in {table} from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d}"
        )
    edge, us, them = "starts", first, theirs["min"]
    if theirs["max"] < last:
        edge, us, them = "ends", last, theirs["max"]
    return f"{ticker} {edge} on {them:%Y-%m-%d} in the source, on {us:%Y-%m-%d} in {table}"
