"""What a command reports while it works."""

from collections.abc import Callable
from dataclasses import dataclass, field

from hawk_assets.core.types import TableKey


@dataclass(frozen=True)
class StageResult:
    """What one run of a stage did.

    :param materialised: number of months, over all its tables
    :param failed: per table that failed, why
    :param warnings: what somebody should look at, such as a restated price
    """

    stage: str
    first: str
    last: str
    materialised: int
    seconds: float
    failed: dict[TableKey, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Notice:
    """Why nothing happens just now."""

    text: str


Report = Callable[[StageResult | Notice | str], None]
"""Takes the name of a stage when its run starts, the result when it ends, and notices."""
