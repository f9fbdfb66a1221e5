"""``hawk compare``: the objectives side by side on the stored performance of the models."""

from hawk_assets.aggregation import comparison
from hawk_assets.aggregation.solvers import Solver
from hawk_assets.commands.selection import select_months
from hawk_assets.core.errors import MissingMonthError
from hawk_assets.core.sessions import month_of
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import performance_timeseries
from hawk_assets.orchestration.partitions import months_of


def compare_objectives(
    pipeline: Pipeline, first: str | None, last: str | None
) -> comparison.Comparison:
    """Every objective out of sample; nothing is stored.

    :param first: first month to compare, a partition key; default: the first with a record
    :param last: last month; default: the open one
    :raises SettingsError: not a month of the history
    :raises MissingMonthError: too little performance is stored
    """
    first, last = select_months(pipeline.months, first, last)
    months = months_of([key for key in pipeline.months if key <= last])
    performance = {
        name: pipeline.storage.read(
            performance_timeseries(name), months, ["date", "daily_return"], missing_ok=True
        )
        for name in pipeline.models
    }
    if not any(len(frame) for frame in performance.values()):
        raise MissingMonthError("no performance is stored yet; run: hawk backfill")
    return comparison.compare(
        performance,
        months,
        month_of(first),
        pipeline.settings.aggregation,
        {name: model.family for name, model in pipeline.models.items()},
        pipeline.settings.simulation.execution_lag,
        Solver(pipeline.settings.solver_settings),
        pipeline.settings.simulation.sessions_per_year,
    )
