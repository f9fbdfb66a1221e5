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
        description="The weights of every month in which a model has a record come from the "
        "objective; a warning names the months with a fallback.",
    )
    solver = dg.AssetCheckSpec(
        SOLVER,
        asset=dg.AssetKey(WEIGHTS),
        description="The weights come from the solver in HAWK_SOLVER; a warning if it is auto, "
        "MOSEK cannot be used, and Clarabel replaces it. Set HAWK_SOLVER=clarabel to accept that.",
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
    """Record why Clarabel replaced MOSEK, on the months concerned and as a check."""
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
            description=f"Clarabel replaced MOSEK; HAWK_SOLVER=clarabel accepts that: {why}"
            if why
            else "",
            metadata={"months_solved_by_clarabel": len(months)},
        )
    )
