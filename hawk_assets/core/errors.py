"""The errors a user can meet. Each message names the file, ticker, date or setting, and the remedy.

The command line prints them without a traceback; anything else is a defect of this package.
"""


class HawkError(Exception):
    """Base of every error that the user, not this package, can put right."""


class SettingsError(HawkError):
    """An environment variable or a command-line value is not usable."""


class DataError(HawkError):
    """A table breaks its contract: a missing column, a duplicate row, a price of zero."""


class ModelError(HawkError):
    """A trading model breaks its contract: a signal outside [-1, 1], an infinite feature."""


class MissingMonthError(HawkError):
    """A month that a computation needs has not been materialised."""


class SimulationError(HawkError):
    """The simulated book cannot be computed: bankrupt, or a held ticker without a price."""


class SolverError(HawkError):
    """The solver asked for cannot be used: no licence, no answer from its server."""


class StorageError(HawkError):
    """The storage root cannot be read or written."""


class AlertError(HawkError):
    """An alert was not taken by whoever is to be told."""
