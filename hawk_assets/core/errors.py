"""The errors that a user can meet. Each message names what is wrong, where, and the remedy.

The command line prints them without a traceback. Any other exception is a defect of this package.
"""


class HawkError(Exception):
    """Base of every error that the user can correct."""


class SettingsError(HawkError):
    """A setting or a command-line value cannot be used."""


class DataError(HawkError):
    """A table breaks its contract: a missing column, a duplicate row, a price of zero."""


class ModelError(HawkError):
    """A trading model breaks its contract: a signal outside [-1, 1], an infinite feature."""


class MissingMonthError(HawkError):
    """A month that a computation needs has not been materialised."""


class SimulationError(HawkError):
    """The simulated book cannot be computed: bankrupt, or a held ticker without a price."""


class SolverError(HawkError):
    """The chosen solver cannot be used: no licence, or its server does not answer."""


class BusyError(HawkError):
    """Another run or command works on the same tables, and does not end."""


class StorageError(HawkError):
    """The storage root cannot be read or written."""


class DamagedFileError(StorageError):
    """A stored file is not what was written."""


class AlertError(HawkError):
    """The webhook did not accept an alert."""
