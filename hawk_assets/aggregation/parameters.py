"""The aggregator's settings."""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from hawk_assets.core.errors import SettingsError

OBJECTIVES: Mapping[str, str] = {
    "max_sharpe_net": "the largest Sharpe ratio of the shrunk mean, net of the cost of trading",
    "max_sharpe": "the largest Sharpe ratio of the window",
    "utility": "the shrunk mean less risk aversion times half the variance",
    "min_variance": "the smallest variance",
    "min_cvar": "the smallest expected loss of the worst days",
    "risk_parity": "the same contribution to the variance from every model",
    "risk_budget": "the same contribution from every family, shared equally by its models",
    "hrp": "hierarchical risk parity: inverse variances along a tree of correlations",
    "inverse_vol": "inversely proportional to volatility",
    "equal_weight": "the same for every model",
}
"""The available objectives and what each of them seeks; ``objectives`` holds the functions."""

BENCHMARKS = ("equal_weight", "risk_parity")
"""The objectives to beat: the weights table has their weights beside the chosen ones."""

DEFAULT_OBJECTIVE = "max_sharpe_net"


MAX_WINDOW = 600
MAX_HOLD = 252


@dataclass(frozen=True)
class AggregationParameters:
    """How models are weighted and combined.

    Weights sum to 1. A family is the models of one class, such as the EMA crosses of three spans:
    variants of one idea. A family cap keeps them from counting as several.

    :param objective: a name of ``OBJECTIVES``
    :param cap: the largest weight of one model, a fraction of the book; ``1 / n`` when fewer than
        ``1 / cap`` models are eligible
    :param family_cap: the largest sum of the absolute weights of a family; 1 is no limit
    :param gross: the largest sum of absolute weights; 1 is long only, 1.6 allows shorts of 0.3.
        Closed forms are always long only
    :param turnover: the largest one-sided change of a rebalancing, half the sum of the absolute
        changes; 1 is no limit. Changes that eligibility and the caps force do not count
    :param cost_bps: cost of a change of weight, in basis points of the amount; ``max_sharpe_net``
        spreads it over the 21 sessions of a month
    :param risk_aversion: of ``utility``
    :param tail: the share of worst days whose loss ``min_cvar`` minimises
    :param window_months: months of performance before the month that is weighted, at most 600
    :param min_months: months of 21 sessions that a model needs since its first non-zero return
    :param half_life: months of 21 sessions after which a return counts half; 0: all count the same
    :param hold_sessions: for how many sessions a model's last insights replace missing ones; at
        most 252
    :raises SettingsError: a value that cannot be used
    """

    objective: str = DEFAULT_OBJECTIVE
    cap: float = 0.4
    family_cap: float = 1.0
    gross: float = 1.0
    turnover: float = 1.0
    cost_bps: float = 10.0
    risk_aversion: float = 5.0
    tail: float = 0.05
    window_months: int = 36
    min_months: int = 12
    half_life: float = 0.0
    hold_sessions: int = 3

    def __post_init__(self) -> None:
        if self.objective not in OBJECTIVES:
            raise SettingsError(
                f"objective {self.objective!r}: choose one of {', '.join(OBJECTIVES)}"
            )
        for name in ("cap", "family_cap", "turnover"):
            if not 0 < getattr(self, name) <= 1:
                raise SettingsError(f"{name} {getattr(self, name)}: a fraction above 0, at most 1")
        if not 1 <= self.gross < math.inf:
            raise SettingsError(f"gross {self.gross}: 1 for long only, or more")
        if not 0 < self.risk_aversion < math.inf:
            raise SettingsError(f"risk_aversion {self.risk_aversion}: above 0")
        if not 0 < self.tail < 1:
            raise SettingsError(f"tail {self.tail}: a fraction between 0 and 1")
        for name in ("cost_bps", "half_life", "hold_sessions"):
            if not 0 <= getattr(self, name) < math.inf:
                raise SettingsError(f"{name} {getattr(self, name)}: 0 or more")
        if self.hold_sessions > MAX_HOLD:
            raise SettingsError(f"hold_sessions {self.hold_sessions}: at most {MAX_HOLD}")
        if self.window_months > MAX_WINDOW:
            raise SettingsError(f"window_months {self.window_months}: at most {MAX_WINDOW}")
        if not 1 <= self.min_months <= self.window_months:
            raise SettingsError(
                f"min_months {self.min_months}, window_months {self.window_months}: "
                "need 1 <= min_months <= window_months"
            )

    def check_families(self, families: Collection[str]) -> None:
        """:raises SettingsError: the family caps sum to less than 1, the whole book"""
        count = len(set(families))
        if count and self.family_cap * count < 1:
            raise SettingsError(
                f"family_cap {self.family_cap}: {count} families cannot hold the whole book; use "
                f"at least {math.ceil(1000 / count) / 1000}"
            )
