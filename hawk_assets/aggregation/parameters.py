"""The aggregator's settings."""

from dataclasses import dataclass

from hawk_assets.aggregation.objectives import CLOSED_FORMS, PROGRAMS
from hawk_assets.core.errors import SettingsError


@dataclass(frozen=True)
class AggregationParameters:
    """How models are weighted and combined.

    :param objective: a name in ``objectives.PROGRAMS`` or ``objectives.CLOSED_FORMS``
    :param cap: the largest weight of one model, a fraction of the book; ``1 / n`` when fewer than
        ``1 / cap`` models are eligible
    :param window_months: months of performance before the month that is weighted
    :param min_months: months of 21 sessions that a model needs since its first non-zero return
    :param hold_sessions: sessions that a model's last insights stand for missing ones
    :raises SettingsError: a value that cannot be used
    """

    objective: str = "max_sharpe"
    cap: float = 0.4
    window_months: int = 36
    min_months: int = 12
    hold_sessions: int = 3

    def __post_init__(self) -> None:
        known = [*PROGRAMS, *CLOSED_FORMS]
        if self.objective not in known:
            raise SettingsError(f"objective {self.objective!r}: choose one of {', '.join(known)}")
        if not 0 < self.cap <= 1:
            raise SettingsError(f"cap {self.cap}: a fraction above 0, at most 1")
        if not 1 <= self.min_months <= self.window_months:
            raise SettingsError(
                f"min_months {self.min_months}, window_months {self.window_months}: "
                "need 1 <= min_months <= window_months"
            )
        if self.hold_sessions < 0:
            raise SettingsError(f"hold_sessions {self.hold_sessions}: 0 or more")
