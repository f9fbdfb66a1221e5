"""Why a run failed, in one line."""

from collections.abc import Iterable
from typing import Any

import dagster as dg

from hawk_assets.core.errors import HawkError


def failure_reason(failures: Iterable[dg.DagsterEvent]) -> str:
    """The cause of a run's failure events.

    An error that the user can put right speaks for itself; of any other the type comes first.
    """
    known = {error.__name__ for error in HawkError.__subclasses__()}
    said = "the run materialised nothing"
    for event in failures:
        failure: Any = event.event_specific_data
        if (stated := getattr(failure, "user_failure_data", None)) and stated.description:
            return str(stated.description)
        error = failure.error if failure else None
        while error and error.cause:
            error = error.cause
        if error:
            text = str(error.message).strip()
            return text.partition(": ")[2] if error.cls_name in known else text
        said = event.message or said
    return said
