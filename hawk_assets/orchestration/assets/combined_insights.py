"""combined_insights: the book, model weights times insights."""

from collections.abc import Iterator, Sequence

import dagster as dg
import pandas as pd

from hawk_assets.aggregation.combination import combine_insights
from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core.sessions import sessions_of
from hawk_assets.orchestration.assets.stage import Make, Stage, build_stage
from hawk_assets.orchestration.plan import Output

CURRENT = "models_are_current"
NAMED = 5


def build(
    outputs: Sequence[Output],
    partitions: dg.PartitionsDefinition,
    parameters: AggregationParameters,
) -> dg.AssetsDefinition:
    def body(run: Stage) -> Iterator[tuple[Output, Make]]:
        yield run.outputs[0], lambda: _combined(run, parameters)

    check = dg.AssetCheckSpec(
        CURRENT,
        asset=dg.AssetKey("combined_insights"),
        description="Every model with a weight has insights for the latest session; a warning "
        "names the model and its age in sessions.",
    )
    return build_stage("combined_insights", outputs, partitions, body, checks=[check])


def _combined(run: Stage, parameters: AggregationParameters) -> pd.DataFrame:
    inputs = [i for i in run.outputs[0].inputs if i.key[0] == "insights"]
    insights = {i.key[1]: run.read(i.key, ["date", "ticker", "weight"]) for i in inputs}
    sessions = sessions_of(run.read(("market_data",), ["date"])["date"])
    book, ages = combine_insights(
        run.read(("weights",)), insights, sessions, run.months, parameters
    )
    late = ages[ages["date"] == sessions[-1]] if len(sessions) else ages
    run.checks.append(
        dg.AssetCheckResult(
            asset_key=dg.AssetKey("combined_insights"),
            check_name=CURRENT,
            passed=late.empty,
            severity=dg.AssetCheckSeverity.WARN,
            description="; ".join(
                f"{row.model}: latest insights are {row.age} session{'s' * (row.age > 1)} old, "
                + ("held" if row.age <= parameters.hold_sessions else "its share is cash")
                for row in late[:NAMED].itertuples()
            )
            + f"; and {len(late) - NAMED} more models" * (len(late) > NAMED),
            metadata={"models_late": len(late)},
        )
    )
    return book
