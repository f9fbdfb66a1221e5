"""The catalog: every table, what it reads and from which months, and which stage computes it.

It is stated once. Dagster's asset specs, the staleness of a month and the months that a stage
reads all come from it. A stage is one step of one service; a service is one container and one code
location.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module

import pandera.pandas as pa

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.core import schemas
from hawk_assets.core.model import TradingModel
from hawk_assets.core.types import TableKey
from hawk_assets.insights import builder as insights_builder
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.model_states import builder as states_builder
from hawk_assets.orchestration.code_version import code_version, module_of
from hawk_assets.simulation.parameters import SimulationParameters
from hawk_assets.simulation.settings import SimulationSettings

SERVICES = {
    "model_state_generator": ("market_data", "model_states"),
    "trading_models": ("insights",),
    "portfolio_simulator": ("performance",),
    "model_aggregator": ("weights", "combined_insights", "combined_performance"),
}
STAGES = tuple(stage for stages in SERVICES.values() for stage in stages)
SERVICE_OF = {stage: service for service, stages in SERVICES.items() for stage in stages}
GROUP_OF = {
    "market_data": "sources",
    "model_states": "model_states",
    "insights": "insights",
    "performance": "simulation",
    "weights": "aggregation",
    "combined_insights": "aggregation",
    "combined_performance": "aggregation",
}
"""The asset group of a stage: the folder of the package that computes it. The account of the
combined book is shown with the book."""

METRICS_MONTHS = 36

MARKET_DATA: TableKey = ("market_data",)
COMMITMENTS_OF_TRADERS: TableKey = ("commitments_of_traders",)
WEIGHTS: TableKey = ("weights",)
COMBINED_INSIGHTS: TableKey = ("combined_insights",)
ATTRIBUTION: TableKey = ("attribution",)
COMBINED_PERFORMANCE: TableKey = ("combined_performance",)
COMBINED_METRICS: TableKey = ("combined_metrics",)
RAW_DATA = (MARKET_DATA, COMMITMENTS_OF_TRADERS)


def model_states(model: str) -> TableKey:
    return ("model_states", model)


def insights(model: str) -> TableKey:
    return ("insights", model)


def performance_timeseries(model: str) -> TableKey:
    return ("performance_timeseries", model)


def performance_metrics(model: str) -> TableKey:
    return ("performance_metrics", model)


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A table that another one reads: month m reads months ``m + first`` to ``m + last`` of it.

    :param optional: the stage decides what a missing month means; otherwise it is an error
    """

    key: TableKey
    first: int = 0
    last: int = 0
    optional: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """One table.

    :param key: asset key, and folder below the storage root
    :param stage: the step that computes it
    :param schema: what a row is
    :param upstreams: the tables it reads, its own earlier months among them
    :param code: module names and strings that its numbers depend on
    :param packages: distributions that its numbers depend on
    :param model: the trading model it belongs to, or None
    """

    key: TableKey
    stage: str
    schema: pa.DataFrameSchema
    description: str
    upstreams: tuple[Upstream, ...] = ()
    code: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    model: str | None = None

    @property
    def name(self) -> str:
        """The key as people write it: ``insights/ema_cross_12_26``."""
        return "/".join(self.key)

    @property
    def service(self) -> str:
        return SERVICE_OF[self.stage]

    @property
    def group(self) -> str:
        return GROUP_OF[self.stage]

    @property
    def tags(self) -> dict[str, str]:
        """Labels to filter by in the UI."""
        return {"service": self.service, **({"model": self.model} if self.model else {})}

    @property
    def date_column(self) -> str:
        """The column that says which month a row belongs to."""
        return next(
            c for c in ("date", "as_of", "month", "release_date") if c in self.schema.columns
        )

    def code_version(self) -> str:
        """Changes with the code and the parameters that the numbers depend on."""
        modules = [import_module(c) for c in self.code if c.startswith("hawk_assets.")]
        texts = [c for c in self.code if not c.startswith("hawk_assets.")]
        return code_version(*modules, *texts, packages=self.packages)


def build_catalog(
    models: Mapping[str, TradingModel],
    simulation: SimulationSettings,
    aggregation: AggregationParameters,
    sizing: SizingParameters,
) -> dict[TableKey, Table]:
    """Every table of the pipeline, each after the tables it reads."""
    tables = [
        *_raw_data(),
        *(_model_states(name, model) for name, model in models.items()),
        *(_insights(name, model, sizing) for name, model in models.items()),
        *(table for name in models for table in _model_performance(name, simulation)),
        _weights(models, aggregation),
        _combined_insights(models, aggregation),
        _attribution(models, simulation.execution_lag, aggregation),
        *_combined_performance(simulation),
    ]
    return {table.key: table for table in tables}


def _raw_data() -> Iterator[Table]:
    yield Table(
        key=MARKET_DATA,
        stage="market_data",
        schema=schemas.MARKET_DATA_SCHEMA,
        description="Adjusted daily open, high, low, close and volume per ticker, as the source "
        "delivers them; NaN is a hole.",
        code=("hawk_assets.core.schemas",),
    )
    yield Table(
        key=COMMITMENTS_OF_TRADERS,
        stage="market_data",
        schema=schemas.COMMITMENTS_OF_TRADERS_SCHEMA,
        description="Weekly positions of commercial and other traders per futures contract, in "
        "the month of their release.",
        code=("hawk_assets.core.schemas",),
    )


def _model_states(name: str, model: TradingModel) -> Table:
    reports = Upstream(key=COMMITMENTS_OF_TRADERS, first=-states_builder.report_months(model))
    return Table(
        key=model_states(name),
        stage="model_states",
        schema=schemas.MODEL_STATES_SCHEMA,
        description=f"Features of {name} per session and ticker, computed from at most "
        f"{states_builder.bars_needed(model)} earlier bars; 10 significant digits.",
        upstreams=(
            Upstream(key=MARKET_DATA, first=-states_builder.months_needed(model)),
            *([reports] if model.reports else []),
        ),
        code=("hawk_assets.model_states.builder", *_own_code(model)),
        packages=("TA-Lib",),
        model=name,
    )


def _insights(name: str, model: TradingModel, sizing: SizingParameters) -> Table:
    reach = insights_builder.months_needed(model, sizing)
    return Table(
        key=insights(name),
        stage="insights",
        schema=schemas.INSIGHTS_SCHEMA,
        description=f"Signals of {name} in [-1, 1], and its weights as fractions of the model's "
        "portfolio, at the close.",
        upstreams=(Upstream(key=model_states(name), first=-reach),),
        code=("hawk_assets.insights.builder", *_own_code(model), repr(sizing)),
        model=name,
    )


def _own_code(model: TradingModel) -> tuple[str, str]:
    """The module of a model, and its parameters."""
    return module_of(model).__name__, repr(model)


def _model_performance(name: str, simulation: SimulationSettings) -> Iterator[Table]:
    return _performance(
        timeseries=performance_timeseries(name),
        metrics=performance_metrics(name),
        traded=insights(name),
        stage="performance",
        model=name,
        simulation=simulation.of_models,
        sessions_per_year=simulation.sessions_per_year,
    )


def _combined_performance(simulation: SimulationSettings) -> Iterator[Table]:
    return _performance(
        timeseries=COMBINED_PERFORMANCE,
        metrics=COMBINED_METRICS,
        traded=COMBINED_INSIGHTS,
        stage="combined_performance",
        model=None,
        simulation=simulation.of_book,
        sessions_per_year=simulation.sessions_per_year,
    )


def _performance(
    *,
    timeseries: TableKey,
    metrics: TableKey,
    traded: TableKey,
    stage: str,
    model: str | None,
    simulation: SimulationParameters,
    sessions_per_year: float | None,
) -> Iterator[Table]:
    """The simulated account that trades the weights of ``traded``, and its metrics."""
    name, lag = model or "the combined book", simulation.execution_lag
    counted = [] if sessions_per_year is None else [f"{sessions_per_year} sessions a year"]
    yield Table(
        key=timeseries,
        stage=stage,
        schema=schemas.PERFORMANCE_TIMESERIES_SCHEMA,
        description=f"Simulated account of {name}: value, return, drawdown, costs and positions "
        f"per session, trading {lag} close{'s' * (lag != 1)} of a ticker after its insight.",
        upstreams=(
            Upstream(key=traded, first=-1),
            Upstream(key=MARKET_DATA, first=-1),
            Upstream(key=timeseries, first=-1, last=-1),
        ),
        code=("hawk_assets.simulation.performance", repr(simulation)),
        packages=("hawk-backtester",),
        model=model,
    )
    yield Table(
        key=metrics,
        stage=stage,
        schema=schemas.PERFORMANCE_METRICS_SCHEMA,
        description=f"Metrics of {name} at the end of the month, over 1, 12 and 36 months and "
        "since the start.",
        upstreams=(
            Upstream(key=timeseries, first=1 - METRICS_MONTHS),
            Upstream(key=metrics, first=-1, last=-1),
        ),
        code=("hawk_assets.simulation.metrics", *counted),
        model=model,
    )


def _weights(models: Mapping[str, TradingModel], aggregation: AggregationParameters) -> Table:
    records = (
        Upstream(
            key=performance_timeseries(name),
            first=-aggregation.window_months,
            last=-1,
            optional=True,
        )
        for name in models
    )
    return Table(
        key=WEIGHTS,
        stage="weights",
        schema=schemas.WEIGHTS_SCHEMA,
        description="The share of each model in the book for the month, from the performance of "
        f"the {aggregation.window_months} months before it.",
        upstreams=(*records, Upstream(key=WEIGHTS, first=-1, last=-1)),
        code=(
            "hawk_assets.aggregation.allocation",
            "hawk_assets.aggregation.solvers",
            repr(aggregation),
        ),
        packages=("clarabel", "mosek", "scipy"),
    )


def _combined_insights(
    models: Mapping[str, TradingModel], aggregation: AggregationParameters
) -> Table:
    return Table(
        key=COMBINED_INSIGHTS,
        stage="combined_insights",
        schema=schemas.COMBINED_INSIGHTS_SCHEMA,
        description="The book: model weights times insights, summed per session and ticker. Its "
        "last session is the target to trade next.",
        upstreams=(
            Upstream(key=WEIGHTS),
            *(Upstream(key=insights(name), first=-1, optional=True) for name in models),
            Upstream(key=MARKET_DATA, first=-1),
        ),
        code=("hawk_assets.aggregation.combination", repr(aggregation)),
    )


def _attribution(
    models: Mapping[str, TradingModel],
    lag: int,
    aggregation: AggregationParameters,
) -> Table:
    return Table(
        key=ATTRIBUTION,
        stage="combined_insights",
        schema=schemas.ATTRIBUTION_SCHEMA,
        description="What each model adds to the book's weight and gross return, per ticker, and "
        "how much of it opposite weights net out.",
        upstreams=(
            Upstream(key=WEIGHTS, first=-1),
            *(Upstream(key=insights(name), first=-2, optional=True) for name in models),
            Upstream(key=MARKET_DATA, first=-2),
        ),
        code=(
            "hawk_assets.aggregation.attribution",
            repr(aggregation),
            f"lag {lag}",
        ),
    )
