"""Which backend solves: MOSEK where it may, Clarabel otherwise."""

from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hawk_assets.aggregation import clarabel_solver, mosek_solver
from hawk_assets.aggregation.conic import ConicProblem, Solution
from hawk_assets.core.errors import SettingsError, SolverError

NAMES = ("auto", "mosek", "clarabel")


@dataclass(frozen=True)
class SolverSettings:
    """:param name: ``mosek``, ``clarabel``, or ``auto``: MOSEK, and Clarabel where MOSEK cannot be
        used
    :param licence: where MOSEK is to find one: ``MOSEKLM_LICENSE_FILE``, or the default file if it
        exists; None: there is none
    :param server: ``http://host:port`` of a MOSEK OptServer, which has the licence
    :raises SettingsError: a value that cannot be used
    """

    name: str = "auto"
    licence: str | None = None
    server: str | None = None

    def __post_init__(self) -> None:
        if self.name not in NAMES:
            raise SettingsError(f"HAWK_SOLVER={self.name!r}: choose one of {', '.join(NAMES)}")
        if self.server is not None and not _is_address(self.server):
            raise SettingsError(
                f"HAWK_OPTSERVER={self.server!r} is not the address of an OptServer; "
                "write it like http://host:30080"
            )

    @property
    def access(self) -> str:
        """By what MOSEK is to be used."""
        if self.server:
            return f"HAWK_OPTSERVER={self.server}: is it running?"
        return f"licence: {self.licence or 'none, MOSEKLM_LICENSE_FILE is not set'}"


@dataclass
class Solver:
    """The backend that the settings ask for.

    :param fallbacks: why Clarabel stood in for MOSEK, each reason once
    """

    settings: SolverSettings
    fallbacks: list[str] = field(default_factory=list)

    def __call__(self, problem: ConicProblem) -> Solution:
        """Solve a problem.

        :raises SolverError: MOSEK is asked for by name and cannot be used
        """
        if self.settings.name != "clarabel":
            try:
                return mosek_solver.solve(problem, self.settings.server)
            except SolverError as error:
                why = f"MOSEK cannot be used: {error} ({self.settings.access})"
            if self.settings.name == "mosek":
                raise SolverError(
                    f"HAWK_SOLVER=mosek, but {why}. Give it a licence by MOSEKLM_LICENSE_FILE, a "
                    "file or port@host, or a server by HAWK_OPTSERVER; or set HAWK_SOLVER to auto "
                    "or clarabel"
                )
            if why not in self.fallbacks:
                self.fallbacks.append(why)
        return clarabel_solver.solve(problem)


def _is_address(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme == "http" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        return False
