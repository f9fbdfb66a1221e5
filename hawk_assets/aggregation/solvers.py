"""The choice of the solver: MOSEK where it can be used, else Clarabel."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hawk_assets.aggregation import clarabel_solver, mosek_solver
from hawk_assets.aggregation.conic import ConicProgram, Solution
from hawk_assets.core.errors import SettingsError, SolverError

SOLVER_NAMES = ("auto", "mosek", "clarabel")


@dataclass(frozen=True)
class SolverSettings:
    """:param name: ``mosek``, ``clarabel``, or ``auto``: MOSEK, or Clarabel where MOSEK cannot be
        used
    :param licence: the value of ``MOSEKLM_LICENSE_FILE``, or MOSEK's default file if it exists;
        None if there is no licence
    :param server: ``http://host:port`` of a MOSEK OptServer that has the licence
    :raises SettingsError: a value that cannot be used
    """

    name: str = "auto"
    licence: str | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        if self.name not in SOLVER_NAMES:
            raise SettingsError(
                f"HAWK_SOLVER={self.name!r}: choose one of {', '.join(SOLVER_NAMES)}"
            )
        if self.server is not None and not is_address(self.server):
            raise SettingsError(
                f"HAWK_OPTSERVER={self.server!r} is not the address of an OptServer; "
                "write it like http://host:30080"
            )

    @property
    def mosek_access(self) -> str:
        """How MOSEK is reached, for messages."""
        if self.server:
            return f"HAWK_OPTSERVER={self.server}: is it running?"
        return f"licence: {self.licence or 'none, MOSEKLM_LICENSE_FILE is not set'}"


@dataclass
class Solver:
    """The backend that the settings choose.

    :param mosek_failures: why Clarabel replaced MOSEK, each reason once
    """

    settings: SolverSettings
    mosek_failures: list[str] = field(default_factory=list)

    def __call__(self, program: ConicProgram) -> Solution:
        """Solve a conic program.

        :raises SolverError: the settings demand MOSEK and it cannot be used
        """
        if self.settings.name != "clarabel":
            try:
                return mosek_solver.solve(program, self.settings.server)
            except SolverError as error:
                why = f"MOSEK cannot be used: {error} ({self.settings.mosek_access})"
            if self.settings.name == "mosek":
                raise SolverError(
                    f"HAWK_SOLVER=mosek, but {why}. Set MOSEKLM_LICENSE_FILE to a licence (a file "
                    "or port@host) or HAWK_OPTSERVER to a server, or set HAWK_SOLVER to auto or "
                    "clarabel"
                )
            if why not in self.mosek_failures:
                self.mosek_failures.append(why)
        return clarabel_solver.solve(program)


def is_address(text: str) -> bool:
    """Whether an OptServer may be there: ``http://host:port``, without a user or a password."""
    try:
        parts = urlsplit(text)
        named = parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
        return named and "@" not in parts.netloc
    except ValueError:
        return False
