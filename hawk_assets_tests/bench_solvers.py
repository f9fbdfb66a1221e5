"""What stating a problem to a solver costs beside solving it: ``python -m`` this module.

The same random windows for all; of each the best of five, of these the median. MOSEK solves only
where it has a licence; what it costs to build its Task can be measured anywhere.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import count, islice
from statistics import median

from hawk_assets.aggregation import clarabel_solver, mosek_solver
from hawk_assets.aggregation.conic import ConicProblem
from hawk_assets.aggregation.mosek_session import session
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.task import InfeasibleError
from hawk_assets.core.errors import SolverError
from hawk_assets_tests.aggregation.problems import stated, window

SIZES = ((10, 0.4, 40), (50, 0.2, 40), (200, 0.2, 8))
"""Models, cap and windows."""
REPEATS = 5


def solvers() -> None:
    """Clarabel's own time, ours around it, and MOSEK's Task; a line per size and objective."""
    import mosek

    try:
        session().run(lambda task: None)
        licence = ""
    except SolverError as error:
        licence = str(error)
    say("\nsolvers, ms a problem: Clarabel alone, our solve() with it, ratio; a MOSEK Task; MOSEK")
    for n, cap, windows in SIZES:
        for objective in PROGRAMS:
            problems = list(islice(_feasible(objective, n, cap), windows))
            clarabel_solver.solve(problems[0])
            alone = median(
                1e3 * min(clarabel_solver.build(p).solve().solve_time for _ in range(REPEATS))
                for p in problems
            )
            ours = _timed(clarabel_solver.solve, problems)
            with mosek.Env() as env:

                def built(problem: ConicProblem, env: mosek.Env = env) -> None:
                    with env.Task() as task:
                        mosek_solver.build(problem, task)

                task = _timed(built, problems)
            theirs = "no licence" if licence else f"{_timed(mosek_solver.solve, problems):.2f}"
            say(
                f"    {n:>4} models {objective:<15}{alone:8.2f}{ours:8.2f}"
                f"{ours / alone:6.1f}{task:8.2f}  {theirs}"
            )
    if licence:
        say(f"    MOSEK: {licence}")


def _feasible(objective: str, n: int, cap: float) -> Iterator[ConicProblem]:
    """Windows in which some mix has a positive mean, where the objective asks for that."""
    for seed in count():
        with suppress(InfeasibleError):
            yield stated(objective, window(n, seed), cap)


def _timed(solve: Callable[[ConicProblem], object], problems: list[ConicProblem]) -> float:
    """Wall milliseconds."""

    def once(problem: ConicProblem) -> float:
        began = time.perf_counter()
        solve(problem)
        return 1e3 * (time.perf_counter() - began)

    return median(min(once(problem) for _ in range(REPEATS)) for problem in problems)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    solvers()
