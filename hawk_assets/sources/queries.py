"""The name of a BigQuery table, and the two queries that are sent. No client."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandera.pandas as pandera

from hawk_assets.core.errors import SettingsError

# The characters that Google allows, except those in table names that need care in SQL.
_URL = re.compile(
    r"bigquery://(?P<project>([a-z0-9.-]+:)?[a-z][a-z0-9-]{4,28}[a-z0-9])"
    r"/(?P<dataset>\w{1,1024})/(?P<table>[\w-]{1,1024})",
    re.ASCII,
)


@dataclass(frozen=True)
class TableName:
    """A table or view that a setting names.

    :param setting: the name of the setting, for messages
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
                f"{setting}={url!r} is not the name of a table; write "
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
    """The columns of one table to read for a span of days.

    :param schema: of the resulting frame
    :param names: the columns to read
    :param day: the column with the date of a row
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
        """The query for the rows. It has no order, so that several streams can deliver them."""
        return f"SELECT {_quoted(self.names)} FROM {self._span}"

    @property
    def content(self) -> str:
        """The query for one line per day: the number of rows and a fingerprint of their content,
        and how many of the rows have a close.

        A row is hashed as JSON with every column by name, so that NULL and each digit count.
        Exclusive or ignores the order of the rows. It does not see a row that appears twice instead
        of never; the count does.
        """
        closes = "COUNT(`close`)" if "close" in self.names else "0"
        return (
            f"SELECT '{self.schema.name}' AS `of`, `{self.day}` AS `day`, COUNT(*) AS `count`, "
            f"BIT_XOR(FARM_FINGERPRINT(TO_JSON_STRING(STRUCT({_quoted(self.names)})))) "
            f"AS `fingerprint`, {closes} AS `closes` FROM {self._span} GROUP BY `{self.day}`"
        )

    @property
    def _span(self) -> str:
        # The plain column compared with constants: anything else would read all partitions.
        start = f"DATE_SUB(@start, INTERVAL {self.earlier} DAY)" if self.earlier else "@start"
        return f"`{self.table.path}` WHERE `{self.day}` >= {start} AND `{self.day}` < @end"


def _quoted(names: Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
