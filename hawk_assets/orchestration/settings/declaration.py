"""Everything that can be set: its names, its type, its default and what it is for.

Where values come from is in ``environment``, ``hawk_yaml`` and ``loading``; what they may be is in
``values``. docs/settings.md, docs/hawk.yaml and the lists in deployments are made from this.
"""

import os
from collections.abc import Mapping
from dataclasses import Field, dataclass, fields, is_dataclass
from datetime import time
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
from pydantic import BeforeValidator, WrapValidator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from hawk_assets.aggregation.parameters import (
    DEFAULT_OBJECTIVE,
    OBJECTIVES,
    AggregationParameters,
)
from hawk_assets.aggregation.solvers import SOLVER_NAMES, SolverSettings
from hawk_assets.insights.sizing import SizingParameters
from hawk_assets.orchestration.settings.values import (
    check_choice,
    check_http_address,
    check_optserver,
    check_path,
    check_port,
    parse_month,
    parse_seconds,
    parse_time,
    resolve_path,
    translate_errors,
)
from hawk_assets.simulation.settings import SimulationSettings

_SECRET = "is a secret, and hawk.yaml goes into git"
_FOR_DAGSTER = "is read by Dagster's own processes, from the environment only"
_FOR_GOOGLE = "is read by Google's libraries, from the environment only"


@dataclass(frozen=True)
class About:
    """What there is to know of a setting besides its type.

    :param variable: its name in the environment
    :param what: what it is for, one sentence without a full stop
    :param unset: what happens without it, where the default alone does not say
    :param not_in_file: why it is refused in ``hawk.yaml``; empty: it may be there
    :param secret: no message and no table shows it
    :param address: it may hold a password, which no message and no table shows
    """

    variable: str
    what: str
    unset: str = ""
    not_in_file: str = ""
    secret: bool = False
    address: bool = False


_ours = WrapValidator(translate_errors)
_Month = Annotated[pd.Timestamp, BeforeValidator(parse_month)]
_Http = BeforeValidator(check_http_address)


class Settings(BaseSettings):
    """The settings of this process.

    Made directly, it takes its values from its arguments alone; ``load_settings`` reads the
    environment and ``hawk.yaml``.
    """

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        arbitrary_types_allowed=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        validate_default=True,
    )

    market_data: Annotated[
        str | None,
        BeforeValidator(check_path),
        About(
            "HAWK_MARKET_DATA",
            "where prices come from: a path, folder or glob of Parquet or CSV files, or "
            "`bigquery://project/dataset/table`",
            "the built-in sample market",
        ),
    ] = None
    commitments: Annotated[
        str | None,
        BeforeValidator(check_path),
        About(
            "HAWK_COMMITMENTS",
            "weekly commitments of traders for your own prices: files with files, a table with a "
            "table",
            "none, and the models that read them take no position",
        ),
    ] = None
    storage: Annotated[
        str,
        BeforeValidator(check_path),
        About("HAWK_STORAGE", "where the tables are: a folder, or `gs://bucket/prefix`"),
    ] = ".hawk/storage"
    start: Annotated[_Month, About("HAWK_START", "first month of the history, `YYYY-MM`")] = (
        pd.Timestamp("2006-01-01")
    )
    end: Annotated[
        _Month | None,
        About(
            "HAWK_END",
            "last month of a history that has ended, `YYYY-MM`",
            "the current month stays open",
        ),
    ] = None
    objective: Annotated[
        str,
        BeforeValidator(check_choice(OBJECTIVES)),
        About(
            "HAWK_OBJECTIVE",
            "how the models are weighted: " + ", ".join(f"`{name}`" for name in OBJECTIVES),
        ),
    ] = DEFAULT_OBJECTIVE
    aggregation: Annotated[
        AggregationParameters,
        _ours,
        About("HAWK_AGGREGATION", "how the models are weighted, besides the objective"),
    ] = AggregationParameters()
    simulation: Annotated[
        SimulationSettings,
        _ours,
        About(
            "HAWK_SIMULATION",
            "how trades of the simulated accounts are executed, and what capital they start with",
        ),
    ] = SimulationSettings()
    sizing: Annotated[SizingParameters, _ours, About("HAWK_SIZING", "how large a position is")] = (
        SizingParameters()
    )
    solver: Annotated[
        str,
        BeforeValidator(check_choice(SOLVER_NAMES)),
        About(
            "HAWK_SOLVER",
            "`mosek`, `clarabel`, or `auto`: MOSEK, and Clarabel where MOSEK cannot be used",
        ),
    ] = "auto"
    licence: Annotated[
        str | None,
        About(
            "MOSEKLM_LICENSE_FILE",
            "MOSEK's own: a licence file, or `port@host`",
            "`~/mosek/mosek.lic` if it exists",
        ),
    ] = None
    optserver: Annotated[
        str | None,
        BeforeValidator(check_optserver),
        About(
            "HAWK_OPTSERVER",
            "a MOSEK OptServer that solves and has the licence, `http://host:port`",
            "MOSEK solves here",
            address=True,
        ),
    ] = None
    tick_seconds: Annotated[
        int,
        BeforeValidator(parse_seconds),
        About(
            "HAWK_TICK_SECONDS",
            "seconds between two checks of a service for new data and stale months",
        ),
    ] = 30
    webhook: Annotated[
        str | None,
        _Http,
        About(
            "HAWK_WEBHOOK",
            "where alerts go: an address that takes Slack's messages",
            "nowhere",
            not_in_file=_SECRET,
            secret=True,
        ),
    ] = None
    book_due: Annotated[
        time,
        BeforeValidator(parse_time),
        About(
            "HAWK_BOOK_DUE",
            "time in UTC, `HH:MM`, by which the book of a session is due on the day after it",
        ),
    ] = time(6)
    ui_url: Annotated[
        str | None,
        _Http,
        About(
            "HAWK_UI_URL",
            "address of the Dagster UI, for links in alerts",
            "alerts have no links",
            address=True,
        ),
    ] = None
    dagster_home: Annotated[
        Path,
        BeforeValidator(resolve_path),
        About("DAGSTER_HOME", "Dagster's folder: runs and event log"),
    ] = Path(".hawk/dagster")
    compute_logs: Annotated[
        str | None,
        About(
            "HAWK_COMPUTE_LOGS",
            "where the output of runs is kept in containers: a folder, or `gs://bucket/prefix`",
            "below `DAGSTER_HOME`",
            not_in_file=_FOR_DAGSTER,
        ),
    ] = None
    postgres_host: Annotated[
        str | None,
        About(
            "HAWK_POSTGRES_HOST",
            "host of the PostgreSQL that keeps Dagster's runs and event log in containers",
            "SQLite below `DAGSTER_HOME`",
            not_in_file=_FOR_DAGSTER,
        ),
    ] = None
    postgres_port: Annotated[
        str | None,
        BeforeValidator(check_port),
        About("HAWK_POSTGRES_PORT", "port of that PostgreSQL", not_in_file=_FOR_DAGSTER),
    ] = None
    postgres_user: Annotated[
        str | None, About("HAWK_POSTGRES_USER", "user of that PostgreSQL", not_in_file=_FOR_DAGSTER)
    ] = None
    postgres_password: Annotated[
        str | None,
        About("HAWK_POSTGRES_PASSWORD", "password of that user", not_in_file=_SECRET, secret=True),
    ] = None
    postgres_db: Annotated[
        str | None,
        About("HAWK_POSTGRES_DB", "database in that PostgreSQL", not_in_file=_FOR_DAGSTER),
    ] = None
    google_cloud_project: Annotated[
        str | None,
        About(
            "GOOGLE_CLOUD_PROJECT",
            "the project in which BigQuery runs queries, and that pays for them",
            "the credentials' project",
        ),
    ] = None
    google_application_credentials: Annotated[
        str | None,
        About(
            "GOOGLE_APPLICATION_CREDENTIALS",
            "path of a service account's key",
            "Google's application default",
            not_in_file=_FOR_GOOGLE,
        ),
    ] = None
    service_account_json: Annotated[
        str | None,
        About(
            "SERVICE_ACCOUNT_JSON",
            "the text of a service account's key; goes before the path",
            "none",
            not_in_file=_SECRET,
            secret=True,
        ),
    ] = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @model_validator(mode="before")
    @classmethod
    def _unite_objective(cls, values: dict[str, Any]) -> dict[str, Any]:
        """The objective is a setting of its own, and a parameter of the weights: one value."""
        weights = values.get("aggregation", {})
        if isinstance(weights, AggregationParameters):
            return values | {"objective": weights.objective}
        chosen = values.get("objective", DEFAULT_OBJECTIVE)
        return values | {"aggregation": weights | {"objective": chosen}}

    @property
    def solver_settings(self) -> SolverSettings:
        """Of the model weights; with the licence that MOSEK itself would find."""
        return SolverSettings(self.solver, self.licence or _default_licence(), self.optserver)

    def __repr_args__(self) -> Any:
        """Nothing that is secret ends up in a log."""
        hidden = {name for name, about in ABOUT.items() if about.secret or about.address}
        return [(k, "***" if k in hidden and v else v) for k, v in super().__repr_args__()]


def _default_licence() -> str | None:
    path = os.path.expanduser("~/mosek/mosek.lic")
    return path if os.path.exists(path) else None


ABOUT: Mapping[str, About] = {
    name: next(item for item in field.metadata if isinstance(item, About))
    for name, field in Settings.model_fields.items()
}
"""By the name of the field, which is the key in ``hawk.yaml``."""

SECTIONS: Mapping[str, Mapping[str, Field[Any]]] = {
    name: {f.name: f for f in fields(field.annotation) if f.name != "objective"}
    for name, field in Settings.model_fields.items()
    if field.annotation is not None and is_dataclass(field.annotation)
}
"""The settings that are mappings: their keys, with type and default."""
