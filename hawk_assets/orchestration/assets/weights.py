"""weights: the share of each model, from the performance of the months before."""

from collections.abc import Iterator, Sequence

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.plan import Output

SOLVED = "solved"


def build(
    outputs: Sequence[Output],
    partitions: dg.PartitionsDefinition,
    parameters: AggregationParameters,
) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Output, Make]]:
        yield run.outputs[0], lambda: _weights(run, parameters)

    check = dg.AssetCheckSpec(
        SOLVED,
        asset=dg.AssetKey("weights"),
        description="The objective itself was solved, for every month in which a model has a "
        "record; a warning names the others.",
    )
    return build_stage("weights", outputs, partitions, body, checks=[check])


def _weights(run: Stage, parameters: AggregationParameters) -> pd.DataFrame:
    from hawk_assets.aggregation import clarabel_solver
    from hawk_assets.aggregation.allocation import build_weights

    output = run.outputs[0]
    performance = {
        source.key[-1]: run.read(source.key, ["date", "daily_return"])
        for source in output.inputs
        if source.key != output.key
    }
    weights = build_weights(
        performance, run.months, run.previous(output), parameters, clarabel_solver.solve
    )
    unsolved = (weights["rung"] != weights["objective"]) & (weights["status"] != "no_record")
    fallbacks = weights[unsolved].drop_duplicates("month")
    run.checks.append(
        dg.AssetCheckResult(
            asset_key=dg.AssetKey("weights"),
            check_name=SOLVED,
            passed=fallbacks.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(
                f"{row.month:%Y-%m}: {row.rung} ({row.status})"
                for row in fallbacks[-3:].itertuples()
            ),
            metadata={"months_not_solved": len(fallbacks)},
        )
    )
    return weights
