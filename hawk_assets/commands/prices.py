"""Whose prices the stored tables stand on, for every command that shows some of them."""

from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.source_record import check_source, describe, read_record


def prices_of(pipeline: Pipeline) -> str | None:
    """Whose prices the stored tables stand on; None where an older release has stored them.

    A machine that only looks at the book need not name the source.

    :raises SettingsError: the settings name another one
    """
    if pipeline.settings.market_data:
        check_source(pipeline.storage, pipeline.source)
    record = read_record(pipeline.storage)
    return describe(record) if record else None
