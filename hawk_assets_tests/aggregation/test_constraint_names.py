"""The names of variables and rows: each row must state what its name says."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import mosek
import numpy as np
import pytest

from hawk_assets.aggregation import mosek_solver
from hawk_assets.aggregation.conic import ConicProgram, list_names
from hawk_assets.aggregation.estimation import estimate
from hawk_assets.aggregation.limits import build_limits
from hawk_assets.aggregation.objectives import PROGRAMS
from hawk_assets.aggregation.problem import AllocationProblem
from hawk_assets.models import discover
from hawk_assets_tests.aggregation.conic_programs import limited_problem, sample_window

RATIOS = ("max_sharpe", "max_sharpe_net")
Row = tuple[dict[str, float], float]
"""The non-zero coefficients by variable, and the bound."""

CASES = {
    "caps": limited_problem(family_cap=1.0, turnover=1.0, gross=1.0),
    "families": limited_problem(turnover=1.0, gross=1.0),
    "turnover": limited_problem(family_cap=1.0, gross=1.0),
    "shorts": limited_problem(family_cap=1.0, turnover=1.0),
    "all": limited_problem(),
    "nothing held": replace(limited_problem(), held=None),
}
each_program = pytest.mark.parametrize(
    ("objective", "problem"),
    [(objective, problem) for objective in PROGRAMS for problem in CASES.values()],
    ids=[f"{objective}, {limits}" for objective in PROGRAMS for limits in CASES],
)


def read_rows(program: ConicProgram) -> dict[str, Row]:
    """The rows of a program by name."""
    variables = list_names(program.variables)
    return {
        name: ({variables[j]: float(row[j]) for j in np.flatnonzero(row)}, float(bound))
        for name, row, bound in zip(list_names(program.rows), program.A, program.b, strict=True)
    }


def expected(objective: str, problem: AllocationProblem) -> dict[str, Row]:
    """The rows by name, built from the names of models and families only."""
    limits, held, estimates = problem.limits, problem.held, problem.estimates
    models = [f"m{j:02d}" for j in range(8)]
    groups = {"ema": models[:3], "rsi": models[3:5]}
    priced = objective == "max_sharpe_net"
    shorts, slow = limits.gross > 1.0, limits.turnover < 1.0
    rows: dict[str, Row] = {"budget": ({f"weight[{m}]": 1.0 for m in models}, 1.0)}
    for m in models:
        rows[f"cap[{m}]"] = ({f"weight[{m}]": 1.0}, 0.25)
        rows[f"floor[{m}]"] = ({f"weight[{m}]": -1.0}, 0.25 if shorts else 0.0)
        if shorts:
            rows[f"short[{m}]"] = ({f"weight[{m}]": -1.0, f"short[{m}]": -1.0}, 0.0)
            rows[f"short_floor[{m}]"] = ({f"short[{m}]": -1.0}, 0.0)
    if shorts:
        rows["gross"] = ({f"short[{m}]": 2.0 for m in models}, 0.5)
    if limits.family_cap < 1.0:
        for family, members in groups.items():
            sizes = {f"weight[{m}]": 1.0 for m in members}
            if shorts:
                sizes |= {f"short[{m}]": 2.0 for m in members}
            rows[f"family[{family}]"] = (sizes, limits.family_cap)
    sold = {}
    if held is not None and (slow or priced):
        sold = {m: h for m, h in zip(models, held, strict=True) if shorts or h}
    for m, h in sold.items():
        rows[f"sold[{m}]"] = ({f"weight[{m}]": -1.0, f"sold[{m}]": -1.0}, -h)
        rows[f"sold_floor[{m}]"] = ({f"sold[{m}]": -1.0}, 0.0)
    if sold and slow:
        rows["turnover"] = ({f"sold[{m}]": 1.0 for m in sold}, limits.turnover)
    if objective in RATIOS:
        rows = {
            name: (row | ({"scale": -bound} if bound else {}), 0.0)
            for name, (row, bound) in rows.items()
        }
        mean = estimates.shrunk_mean if priced else estimates.mean
        size = np.abs(mean).max()
        net = {f"weight[{m}]": -mean[j] / size for j, m in enumerate(models)}
        cost = problem.parameters.cost_bps * 1e-4 / 21 if priced else 0.0
        net |= {f"sold[{m}]": 2.0 * cost / size for m in sold if priced}
        rows["net_mean"] = (net, -1.0)
    if objective == "min_cvar":
        unit = np.sqrt(np.trace(estimates.covariance) / 8)
        for i, scenario in enumerate(estimates.scenarios):
            loss = {f"weight[{m}]": -scenario[j] / unit for j, m in enumerate(models)}
            rows[f"loss[{i}]"] = (loss | {"value_at_risk": -1.0, f"excess[{i}]": -1.0}, 0.0)
            rows[f"excess_floor[{i}]"] = ({f"excess[{i}]": -1.0}, 0.0)
    return rows


def equal_rows(found: dict[str, Row], wanted: dict[str, Row]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name][0] == pytest.approx(row, rel=1e-12)
        and found[name][1] == pytest.approx(bound, rel=1e-12)
        for name, (row, bound) in wanted.items()
    )


@each_program
def test_every_row_states_what_its_name_says(objective: str, problem: AllocationProblem) -> None:
    program = PROGRAMS[objective](problem)
    wanted = expected(objective, problem)
    assert equal_rows(read_rows(program), wanted)
    assert len(program.b) == len(wanted)


@each_program
def test_names_of_variables_and_of_rows_are_unique(
    objective: str, problem: AllocationProblem
) -> None:
    program = PROGRAMS[objective](problem)
    for groups, size in ((program.variables, len(program.q)), (program.rows, len(program.b))):
        assert len(set(list_names(groups))) == len(list_names(groups)) == size


@pytest.mark.parametrize("objective", PROGRAMS)
def test_swapped_names_are_detected(objective: str) -> None:
    """Any two neighbouring names, of variables and of rows."""
    problem = limited_problem(n_obs=20)
    program, wanted = PROGRAMS[objective](problem), expected(objective, problem)
    for what in ("variables", "rows"):
        right = list_names(getattr(program, what))
        for j, (one, other) in enumerate(pairwise(right)):
            wrong = [*right[:j], other, one, *right[j + 2 :]]
            groups = tuple((name, None) for name in wrong)
            swapped = read_rows(replace(program, **{what: groups}))
            assert not equal_rows(swapped, wanted), (one, other)


@pytest.mark.parametrize("format", ["jtask", "ptf"])
def test_the_names_of_all_registered_models_survive_a_file(format: str, tmp_path: Path) -> None:
    models = discover()
    families = {name: model.family for name, model in models.items()}
    few = limited_problem(turnover=0.1, gross=1.5, cap=0.2, family_cap=0.2)
    problem = replace(
        few,
        estimates=estimate(sample_window(len(models), 0)),
        limits=build_limits(families, few.parameters),
        held=np.full(len(models), 1 / len(models)),
    )
    program, file = PROGRAMS["max_sharpe_net"](problem), str(tmp_path / f"task.{format}")
    with mosek.Task() as task, mosek.Task() as other:
        mosek_solver.build_task(program, task)
        task.writedata(file)
        other.readdata(file)
        variables = [other.getvarname(j) for j in range(len(program.q))]
        rows = [other.getconname(i) for i in range(len(program.b))]
    assert variables == list_names(program.variables)
    assert rows == list_names(program.rows)
    assert {f"weight[{name}]" for name in models} <= set(variables)
