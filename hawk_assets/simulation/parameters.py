"""What a simulation assumes: capital, costs and execution delay."""

import math
from dataclasses import dataclass

from hawk_assets.core.errors import SettingsError

FEE_MODELS = (None, "ibkr_pro_fixed")
MAX_LAG = 15


@dataclass(frozen=True)
class SimulationParameters:
    """Start capital, costs and execution delay of every simulated book.

    :param initial_value: cash at the start, in the currency of the prices
    :param slippage_bps: cost of a trade, in basis points of its dollar value
    :param fee_model: ``ibkr_pro_fixed`` (0.005 per share, at least 1 and at most 1 % of the
        trade), or None for no commission
    :param execution_lag: closes of a ticker from its signal to its trade; 0 is market-on-close. At
        most 15: an order is not older than a month of daily bars.
    :raises SettingsError: a value the simulator cannot use
    """

    initial_value: float = 1_000_000.0
    slippage_bps: float = 1.0
    fee_model: str | None = None
    execution_lag: int = 1

    def __post_init__(self) -> None:
        if not (_is_finite(self.initial_value) and self.initial_value > 0):
            raise SettingsError(
                f"initial_value is {self.initial_value!r}; give a positive amount of money"
            )
        if not (_is_finite(self.slippage_bps) and self.slippage_bps >= 0):
            raise SettingsError(
                f"slippage_bps is {self.slippage_bps!r}; give basis points, 0 or more"
            )
        if self.fee_model not in FEE_MODELS:
            raise SettingsError(
                f"fee_model is {self.fee_model!r}; give 'ibkr_pro_fixed', or None for no commission"
            )
        lag = self.execution_lag
        if not (type(lag) is int and 0 <= lag <= MAX_LAG):
            raise SettingsError(
                f"execution_lag is {lag!r}; give a whole number of sessions from 0 to {MAX_LAG}"
            )


def _is_finite(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
