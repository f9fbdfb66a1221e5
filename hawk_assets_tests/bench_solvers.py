"""The cost of building a program for a solver beside solving it: ``python -m`` this module.

All use the same random windows. Each figure is the median over windows of the best of five runs.
MOSEK solves only with a licence; the cost of building its Task can be measured without one.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from statistics import median

from hawk_assets.aggregation import clarabel_solver, mosek_solver
from hawk_assets.aggregation.conic import ConicProgram
from hawk_assets.aggregation.mosek_session import get_session
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.problem import InfeasibleError
from hawk_assets.core.errors import SolverError
from hawk_assets_tests.aggregation.conic_programs import build_program, sample_window

SIZES = ((10, 0.4, 40), (50, 0.2, 40), (200, 0.2, 8))
"""Models, cap and windows."""
REPEATS = 5


def solvers() -> None:
    """Clarabel's own time, ours around it, and MOSEK's Task; a line per size and objective."""
    import mosek

    try:
        get_session().run(lambda task: None)
        licence = ""
    except SolverError as error:
        licence = str(error)
    say("\nsolvers, ms a program: Clarabel alone, our solve() with it, ratio; a MOSEK Task; MOSEK")
    for n, cap, windows in SIZES:
        for objective in PROGRAMS:
            programs = list(islice(_feasible(objective, n, cap), windows))
            clarabel_solver.solve(programs[0])
            alone = median(
                1e3
                * min(clarabel_solver.build_solver(p).solve().solve_time for _ in range(REPEATS))
                for p in programs
            )
            ours = _timed(clarabel_solver.solve, programs)
            with mosek.Env() as env:

                def built(program: ConicProgram, env: mosek.Env = env) -> None:
                    with env.Task() as task:
                        mosek_solver.build_task(program, task)

                task = _timed(built, programs)
            theirs = "no licence" if licence else f"{_timed(mosek_solver.solve, programs):.2f}"
            say(
                f"    {n:>4} models {objective:<15}{alone:8.2f}{ours:8.2f}"
                f"{ours / alone:6.1f}{task:8.2f}  {theirs}"
            )
    if licence:
        say(f"    MOSEK: {licence}")


def _feasible(objective: str, n: int, cap: float) -> Iterator[ConicProgram]:
    """Programs of random windows, without the windows in which the objective is infeasible."""
    for seed in count():
        with suppress(InfeasibleError):
            yield build_program(objective, sample_window(n, seed), cap)


def _timed(solve: Callable[[ConicProgram], object], programs: list[ConicProgram]) -> float:
    """Wall milliseconds."""

    def once(program: ConicProgram) -> float:
        began = time.perf_counter()
        solve(program)
        return 1e3 * (time.perf_counter() - began)

    return median(min(once(program) for _ in range(REPEATS)) for program in programs)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    solvers()
