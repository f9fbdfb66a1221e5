"""weights: the share of each model in the book, from the performance of the months before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.aggregation.solvers import Solver, SolverSettings
from hawk_assets.orchestration.assets.stage import Compute, StageContext, build_stage
from hawk_assets.orchestration.catalog import WEIGHTS, Table, performance_timeseries
from hawk_assets.orchestration.metadata import attach

KEY = dg.AssetKey(WEIGHTS)
SOLVED = "solved"
SOLVER = "solver"


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition[Any],
    parameters: AggregationParameters,
    families: Mapping[str, str],
    settings: SolverSettings,
) -> dg.AssetsDefinition:
    """:param families: the family of each model of the book, by name"""

    def body(stage: StageContext) -> Iterator[tuple[Table, Compute]]:
        config = stage.context.op_execution_context.op_config
        chosen = replace(parameters, objective=config["objective"])
        yield stage.tables[0], lambda: _weights(stage, chosen, families, Solver(settings))

    solved = dg.AssetCheckSpec(
        SOLVED,
        asset=KEY,
        description="The weights come from the objective; a warning when those of the last month "
        "come from a fallback. Earlier months with a fallback are named.",
    )
    solver = dg.AssetCheckSpec(
        SOLVER,
        asset=KEY,
        description="The weights come from the solver in HAWK_SOLVER; a warning if it is auto, a "
        "licence or a server for MOSEK is set and cannot be used, and Clarabel replaces MOSEK. Set "
        "HAWK_SOLVER=clarabel to accept that.",
    )
    choices = dg.Enum("Objective", [dg.EnumValue(n, description=d) for n, d in OBJECTIVES.items()])
    objective = dg.Field(
        choices,
        default_value=parameters.objective,
        description="The objective of this run only; HAWK_OBJECTIVE sets it for all runs.",
    )
    return build_stage(
        "weights",
        tables,
        partitions,
        body,
        checks=[solved, solver],
        config={"objective": objective},
    )


def _weights(
    stage: StageContext,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    solver: Solver,
) -> pd.DataFrame:
    from hawk_assets.aggregation.allocation import build_weights

    columns = ["date", "daily_return"]
    weights = build_weights(
        {name: stage.read(performance_timeseries(name), columns) for name in families},
        stage.months,
        stage.previous(stage.tables[0]),
        parameters,
        families,
        solver,
    )
    stage.checks.append(check_solved(weights))
    why = "; ".join(solver.mosek_failures)
    replaced = (weights["solver"] == "clarabel") & bool(why)
    months = pd.DatetimeIndex(weights.loc[replaced, "month"].unique())
    attach(stage.context, KEY, {month: {"solver_fallback": why} for month in months})
    stage.checks.append(_check_solver(solver, why, len(months)))
    if why:
        stage.context.log.info(
            f"Clarabel solved {len(months)} month{'s' * (len(months) != 1)}: {why}"
        )
    return weights


def check_solved(weights: pd.DataFrame) -> dg.AssetCheckResult:
    """A warning when the last month has a fallback; earlier months with one are named only.

    A past month whose objective has no solution is a fact of the history, not a fault of today.
    """
    unsolved = (weights["fallback"] != weights["objective"]) & (weights["status"] != "no_record")
    months = weights[unsolved].drop_duplicates("month")
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=SOLVED,
        passed=months.empty or months["month"].max() < weights["month"].max(),
        severity=dg.AssetCheckSeverity.WARN,
        description="; ".join(
            f"{row.month:%Y-%m}: {row.fallback} ({row.status})" for row in months[-3:].itertuples()
        ),
        metadata={"months_not_solved": len(months)},
    )


def _check_solver(solver: Solver, why: str, months: int) -> dg.AssetCheckResult:
    """A desk without any access to MOSEK has nothing to repair: its check passes and says so.

    :param why: why Clarabel solved in place of MOSEK; empty where it did not
    :param months: how many months it solved
    """
    configured = bool(solver.settings.licence or solver.settings.server)
    text = f"Clarabel replaced MOSEK; HAWK_SOLVER=clarabel accepts that: {why}"
    return dg.AssetCheckResult(
        asset_key=KEY,
        check_name=SOLVER,
        passed=not (why and configured),
        severity=dg.AssetCheckSeverity.WARN,
        description=text if why else "",
        metadata={"months_solved_by_clarabel": months},
    )
