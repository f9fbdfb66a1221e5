"""What is asked of BigQuery: a table's name, and the two queries there are. No client."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandera.pandas as pandera

from hawk_assets.core.errors import SettingsError

# The characters Google allows, without those that are legal in a table's name but need care in SQL.
_URL = re.compile(
    r"bigquery://(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])"
    r"/(?P<dataset>\w{1,1024})/(?P<table>[\w-]{1,1024})",
    re.ASCII,
)


@dataclass(frozen=True)
class TableName:
    """A table or view, as a setting names it.

    :param setting: the setting, for messages
    """

    setting: str
    project: str
    dataset: str
    table: str

    @classmethod
    def parse(cls, setting: str, url: str) -> "TableName":
        """:raises SettingsError: not of the form bigquery://project/dataset/table"""
        found = _URL.fullmatch(url)
        if not found:
            raise SettingsError(
                f"{setting}={url!r} does not name a table; write "
                "bigquery://project/dataset/table: the project's id (6 to 30 lower-case letters, "
                "digits and hyphens), then letters, digits and underscores"
            )
        return cls(setting, **{k: found[k] for k in ("project", "dataset", "table")})

    def __str__(self) -> str:
        return f"bigquery://{self.project}/{self.dataset}/{self.table}"

    @property
    def path(self) -> str:
        return f"{self.project}.{self.dataset}.{self.table}"


@dataclass(frozen=True)
class Columns:
    """The rows of a span of days in one table.

    :param schema: of the frame they are to become
    :param names: the columns to read
    :param day: the column that places a row in time
    :param earlier: days before the span that are read as well
    """

    table: TableName
    schema: pandera.DataFrameSchema
    names: tuple[str, ...]
    day: str
    earlier: int = 0

    def kind(self, name: str) -> str:
        """``datetime64[ns]``, ``float64`` or ``object``."""
        return str(self.schema.columns[name].dtype)

    @property
    def rows(self) -> str:
        """The query for the rows. Without an order, so that they come by several streams."""
        return f"SELECT {_quoted(self.names)} FROM {self._span}"

    @property
    def content(self) -> str:
        """The query for one line a day: how many rows, and a fingerprint of all they hold.

        A row's text is JSON with every column by name: complete where one is null, and its numbers
        read back as they are. Exclusive or does not mind the order of the rows; the count tells
        what it cannot, a row that is there twice or not at all.
        """
        return (
            f"SELECT '{self.schema.name}' AS `of`, `{self.day}` AS `day`, COUNT(*) AS `count`, "
            f"BIT_XOR(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({_quoted(self.names)})))) "
            f"AS `fingerprint` FROM {self._span} GROUP BY `{self.day}`"
        )

    @property
    def _span(self) -> str:
        # The bare column against constants: anything else would read all partitions.
        start = f"DATE_SUB(@start, INTERVAL {self.earlier} DAY)" if self.earlier else "@start"
        return f"`{self.table.path}` WHERE `{self.day}` >= {start} AND `{self.day}` < @end"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
