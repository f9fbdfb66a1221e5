"""weights: the share of each model, from the performance of the months before."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.parameters import OBJECTIVES, AggregationParameters
from hawk_assets.aggregation.solvers import Solver, SolverSettings
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.catalog import WEIGHTS, Table
from hawk_assets.orchestration.metadata import attach

SOLVED = "solved"
SOLVER = "solver"


def build(
    tables: Sequence[Table],
    partitions: dg.PartitionsDefinition,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    settings: SolverSettings,
) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Table, Make]]:
        chosen = replace(
            parameters, objective=run.context.op_execution_context.op_config["objective"]
        )
        yield run.tables[0], lambda: _weights(run, chosen, families, Solver(settings))

    solved = dg.AssetCheckSpec(
        SOLVED,
        asset=dg.AssetKey(WEIGHTS),
        description="The objective itself was solved, for every month in which a model has a "
        "record; a warning names the others.",
    )
    solver = dg.AssetCheckSpec(
        SOLVER,
        asset=dg.AssetKey(WEIGHTS),
        description="The solver of HAWK_SOLVER solved; under auto, Clarabel in place of a MOSEK "
        "that cannot be used is a warning. HAWK_SOLVER=clarabel chooses it.",
    )
    menu = dg.Enum("Objective", [dg.EnumValue(n, description=d) for n, d in OBJECTIVES.items()])
    objective = dg.Field(
        menu,
        default_value=parameters.objective,
        description="How models are weighted in this run; HAWK_OBJECTIVE is for all of them.",
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
    run: Stage,
    parameters: AggregationParameters,
    families: Mapping[str, str],
    solver: Solver,
) -> pd.DataFrame:
    from hawk_assets.aggregation.allocation import build_weights

    table = run.tables[0]
    performance = {
        source.key[-1]: run.read(source.key, ["date", "daily_return"])
        for source in table.upstreams
        if source.key != table.key
    }
    weights = build_weights(
        performance, run.months, run.previous(table), parameters, families, solver
    )
    unsolved = (weights["fallback"] != weights["objective"]) & (weights["status"] != "no_record")
    fallbacks = weights[unsolved].drop_duplicates("month")
    run.checks.append(
        dg.AssetCheckResult(
            asset_key=dg.AssetKey(WEIGHTS),
            check_name=SOLVED,
            passed=fallbacks.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(
                f"{row.month:%Y-%m}: {row.fallback} ({row.status})"
                for row in fallbacks[-3:].itertuples()
            ),
            metadata={"months_not_solved": len(fallbacks)},
        )
    )
    _record_fallbacks(run, weights, solver)
    return weights


def _record_fallbacks(run: Stage, weights: pd.DataFrame, solver: Solver) -> None:
    """On each month that Clarabel has solved in MOSEK's place why, and a verdict on it."""
    why = "; ".join(solver.mosek_failures)
    months = weights.loc[weights["solver"] == "clarabel", "month"].unique() if why else []
    key = dg.AssetKey(WEIGHTS)
    attach(run.context, key, {pd.Timestamp(month): {"solver_fallback": why} for month in months})
    run.checks.append(
        dg.AssetCheckResult(
            asset_key=key,
            check_name=SOLVER,
            passed=not why,
            severity=dg.AssetCheckSeverity.WARN,
            description=f"Clarabel solved instead, HAWK_SOLVER=clarabel chooses it: {why}"
            if why
            else "",
            metadata={"months_solved_by_clarabel": len(months)},
        )
    )
