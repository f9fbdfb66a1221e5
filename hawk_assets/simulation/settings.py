"""Settings of the simulated accounts: one market, and a capital for each kind of account."""

import math
from dataclasses import dataclass

from hawk_assets.core.errors import SettingsError
from hawk_assets.simulation.parameters import SimulationParameters


@dataclass(frozen=True)
class SimulationSettings:
    """The accounts of the models and that of the book trade in the same market.

    :param execution_lag: closes of a ticker from its signal to its trade, 0 to 15; 0 is
        market-on-close
    :param slippage_bps: cost of a trade, in basis points of its dollar value
    :param fee_model: ``ibkr_pro_fixed`` (0.005 per share, at least 1 and at most 1 % of the
        trade), or none for no commission
    :param model_capital: cash at the start of each model's account, in the currency of the prices
    :param book_capital: cash at the start of the combined book's account
    :param sessions_per_year: sessions of a year for annual figures; none counts them in the data
    :raises SettingsError: a value the simulator cannot use
    """

    execution_lag: int = SimulationParameters.execution_lag
    slippage_bps: float = SimulationParameters.slippage_bps
    fee_model: str | None = SimulationParameters.fee_model
    model_capital: float = SimulationParameters.initial_value
    book_capital: float = SimulationParameters.initial_value
    sessions_per_year: float | None = None

    def __post_init__(self) -> None:
        for name in ("model_capital", "book_capital"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(
                    f"{name} is {getattr(self, name)!r}; give a positive amount of money"
                )
        if self.sessions_per_year is not None and not 1 <= self.sessions_per_year <= 366:
            raise SettingsError(
                f"sessions_per_year is {self.sessions_per_year!r}; give 1 to 366, or None to count "
                "them"
            )
        self._account(self.model_capital)  # checks the rest

    @property
    def of_models(self) -> SimulationParameters:
        """The parameters of each model's account."""
        return self._account(self.model_capital)

    @property
    def of_book(self) -> SimulationParameters:
        """The parameters of the combined book's account."""
        return self._account(self.book_capital)

    def _account(self, capital: float) -> SimulationParameters:
        return SimulationParameters(capital, self.slippage_bps, self.fee_model, self.execution_lag)
