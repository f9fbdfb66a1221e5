"""What the pipeline is made of: every table, what it reads and in which months, who makes it.

One statement, from which come Dagster's asset specs, the staleness of a month and the months a
stage reads. A stage is one step of one service; a service is one container and code location.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module

import pandera.pandas as pa

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core import schemas
from hawk_assets.core.model import TradingModel
from hawk_assets.insights import builder as insights
from hawk_assets.model_states import builder as states
from hawk_assets.orchestration.code_version import code_version, module_of
from hawk_assets.simulation.parameters import SimulationParameters

Key = tuple[str, ...]

SERVICES = {
    "model_state_generator": ("market_data", "model_states"),
    "trading_models": ("insights",),
    "portfolio_simulator": ("performance",),
    "model_aggregator": ("weights", "combined_insights", "combined_performance"),
}
STAGES = tuple(stage for stages in SERVICES.values() for stage in stages)
SERVICE_OF = {stage: service for service, stages in SERVICES.items() for stage in stages}
METRICS_MONTHS = 36


@dataclass(frozen=True)
class Input:
    """Month m of the output reads months ``m + first`` to ``m + last`` of ``key``.

    :param optional: a missing month is a case the stage decides about, not an error
    """

    key: Key
    first: int = 0
    last: int = 0
    optional: bool = False


@dataclass(frozen=True)
class Output:
    """One table.

    :param key: asset key, and folder below the storage root
    :param stage: the step that makes it
    :param schema: what a row is
    :param code: module names, strings and distributions behind its numbers
    """

    key: Key
    stage: str
    schema: pa.DataFrameSchema
    description: str
    inputs: tuple[Input, ...] = ()
    code: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    model: str | None = field(default=None)

    @property
    def service(self) -> str:
        return SERVICE_OF[self.stage]

    @property
    def date_column(self) -> str:
        """The column that says which month a row belongs to."""
        return next(
            c for c in ("date", "as_of", "month", "release_date") if c in self.schema.columns
        )

    def code_version(self) -> str:
        """Changes with the code and parameters behind the numbers."""
        modules = [import_module(c) for c in self.code if c.startswith("hawk_assets.")]
        texts = [c for c in self.code if not c.startswith("hawk_assets.")]
        return code_version(*modules, *texts, packages=self.packages)


def plan(
    models: Mapping[str, TradingModel],
    simulation: SimulationParameters,
    aggregation: AggregationParameters,
) -> dict[Key, Output]:
    """Every table of the pipeline, in an order in which each comes after its inputs."""
    outputs: list[Output] = [
        Output(
            ("market_data",),
            "market_data",
            schemas.MARKET_DATA_SCHEMA,
            "Adjusted daily open, high, low, close and volume per ticker, as the source gave them; "
            "NaN is a hole.",
            code=("hawk_assets.core.schemas",),
        ),
        Output(
            ("commitments_of_traders",),
            "market_data",
            schemas.COMMITMENTS_OF_TRADERS_SCHEMA,
            "Weekly positions of commercial and other traders per futures contract, in the month "
            "of their release.",
            code=("hawk_assets.core.schemas",),
        ),
    ]
    for name, model in models.items():
        own = (module_of(model).__name__, repr(model))
        outputs.append(
            Output(
                ("model_states", name),
                "model_states",
                schemas.MODEL_STATES_SCHEMA,
                f"Features of {name} per session and ticker, from {states.bars_needed(model)} "
                "earlier bars at most; 10 significant digits.",
                (
                    Input(("market_data",), -states.months_needed(model)),
                    *(
                        [Input(("commitments_of_traders",), -states.report_months(model))]
                        if model.reports
                        else []
                    ),
                ),
                ("hawk_assets.model_states.builder", *own),
                ("TA-Lib",),
                name,
            )
        )
    for name, model in models.items():
        own = (module_of(model).__name__, repr(model))
        outputs.append(
            Output(
                ("insights", name),
                "insights",
                schemas.INSIGHTS_SCHEMA,
                f"Signals of {name} in [-1, 1] and the fractions of its portfolio, at the close.",
                (Input(("model_states", name), -insights.months_needed(model)),),
                ("hawk_assets.insights.builder", *own),
                model=name,
            )
        )
    for name in models:
        outputs += _performance(
            ("performance_timeseries", name),
            ("performance_metrics", name),
            ("insights", name),
            "performance",
            name,
            simulation,
        )
    outputs.append(
        Output(
            ("weights",),
            "weights",
            schemas.WEIGHTS_SCHEMA,
            "The share of each model in the book for the month, from the performance of the "
            f"{aggregation.window_months} months before it.",
            (
                *(
                    Input(("performance_timeseries", m), -aggregation.window_months, -1, True)
                    for m in models
                ),
                Input(("weights",), -1, -1),
            ),
            (
                "hawk_assets.aggregation.allocation",
                "hawk_assets.aggregation.solvers",
                repr(aggregation),
            ),
            ("clarabel", "mosek", "scipy"),
        )
    )
    outputs.append(
        Output(
            ("combined_insights",),
            "combined_insights",
            schemas.COMBINED_INSIGHTS_SCHEMA,
            "The book: model weights times insights, summed per session and ticker. Its last "
            "session is the target to trade next.",
            (
                Input(("weights",)),
                *(Input(("insights", m), -1, 0, True) for m in models),
                Input(("market_data",), -1),
            ),
            ("hawk_assets.aggregation.combination", repr(aggregation)),
        )
    )
    outputs.append(
        Output(
            ("attribution",),
            "combined_insights",
            schemas.ATTRIBUTION_SCHEMA,
            "What each model put into the book's weight and gross return, per ticker, and what "
            "opposite opinions net out.",
            (
                Input(("weights",), -1),
                *(Input(("insights", m), -2, 0, True) for m in models),
                Input(("market_data",), -2),
            ),
            (
                "hawk_assets.aggregation.attribution",
                repr(aggregation),
                f"lag {simulation.execution_lag}",
            ),
        )
    )
    outputs += _performance(
        ("combined_performance",),
        ("combined_metrics",),
        ("combined_insights",),
        "combined_performance",
        None,
        simulation,
    )
    return {output.key: output for output in outputs}


def _performance(
    timeseries: Key,
    metrics: Key,
    book: Key,
    stage: str,
    model: str | None,
    simulation: SimulationParameters,
) -> Iterable[Output]:
    name = model or "the combined book"
    yield Output(
        timeseries,
        stage,
        schemas.PERFORMANCE_TIMESERIES_SCHEMA,
        f"Simulated account of {name}: value, return, drawdown, costs and positions per session, "
        f"trading {simulation.execution_lag} session after the insight.",
        (Input(book, -1), Input(("market_data",), -1), Input(timeseries, -1, -1)),
        ("hawk_assets.simulation.performance", repr(simulation)),
        ("hawk-backtester",),
        model,
    )
    yield Output(
        metrics,
        stage,
        schemas.PERFORMANCE_METRICS_SCHEMA,
        f"Figures of {name} at the end of the month: 1, 12 and 36 months, and since the start.",
        (Input(timeseries, 1 - METRICS_MONTHS), Input(metrics, -1, -1)),
        ("hawk_assets.simulation.metrics",),
        model=model,
    )
