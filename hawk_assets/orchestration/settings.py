"""The settings: environment variables, all of them, read in one place.

========================= ======================================================================
``HAWK_MARKET_DATA``      where prices come from: a path, folder or glob of Parquet or CSV files, or
                          ``bigquery://project/dataset/table``; unset: the built-in sample market
``HAWK_COMMITMENTS``      weekly commitments of traders for prices of your own: files to go with
                          files, a table with a table; unset: none, and the models that read them
                          take no position
``GOOGLE_CLOUD_PROJECT``  the project in which BigQuery runs queries, and that pays for them;
                          default: that of the credentials
``HAWK_STORAGE``          where the tables live: a folder or ``gs://bucket/prefix``;
                          default ``.hawk/storage``
``HAWK_START``            first month of the history, ``YYYY-MM-01``; default 2006-01-01
``HAWK_END``              last month of a history that has ended; unset: the current month stays
                          open
``HAWK_OBJECTIVE``        how models are weighted, one of ``hawk_assets.aggregation.parameters``;
                          default max_sharpe_net
``HAWK_AGGREGATION``      other parameters of the weights, such as ``cap=0.3, family_cap=0.5``
``HAWK_SOLVER``           ``mosek``, ``clarabel``, or ``auto``, the default: MOSEK, and Clarabel
                          where MOSEK cannot be used
``HAWK_OPTSERVER``        a MOSEK OptServer, ``http://host:port``, that solves and has the licence;
                          unset: MOSEK solves here
``MOSEKLM_LICENSE_FILE``  MOSEK's own: a licence file or ``port@host``; unset: ~/mosek/mosek.lic
``HAWK_TICK_SECONDS``     how often a service looks for what there is to do; default 30
``HAWK_WEBHOOK``          where alerts go, an address that takes Slack's messages; unset: nowhere
``HAWK_BOOK_DUE``         the time in UTC, ``HH:MM``, by which the book of a session is to be there
                          on the day after it; default 06:00
``HAWK_UI_URL``           address of the Dagster UI, for links in alerts; unset: none
``DAGSTER_HOME``          Dagster's own folder (runs, event log); default ``.hawk/dagster``
========================= ======================================================================
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime, time
from pathlib import Path
from typing import Any

import pandas as pd

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.solvers import SolverSettings
from hawk_assets.core.errors import SettingsError
from hawk_assets.insights.sizing import DEFAULT_SIZING, SizingParameters
from hawk_assets.orchestration.instance.dagster_home import home_of
from hawk_assets.simulation.settings import SimulationSettings

EVENT_BATCH = ("DAGSTER_EVENT_BATCH_SIZE", "1000")


@dataclass(frozen=True)
class Settings:
    """:param market_data: see the module
    :param storage: a folder or a URL, as ``Tables`` takes it
    :param start: first month
    :param end: last month, or None for a history that goes on
    :param dagster_home: absolute
    :param commitments: see the module
    :param aggregation: see the module
    :param solver: of the model weights
    :param tick_seconds: at least 1
    :param webhook: ``https://`` or ``http://``
    :param book_due: in UTC, on the day after a session
    :param ui_url: the same
    """

    market_data: str | None
    storage: str
    start: pd.Timestamp
    end: pd.Timestamp | None
    dagster_home: Path
    commitments: str | None = None
    aggregation: AggregationParameters = field(default_factory=AggregationParameters)
    simulation: SimulationSettings = field(default_factory=SimulationSettings)
    sizing: SizingParameters = DEFAULT_SIZING
    solver: SolverSettings = field(default_factory=SolverSettings)
    tick_seconds: int = 30
    webhook: str | None = None
    book_due: time = time(6)
    ui_url: str | None = None

    @classmethod
    def from_env(cls, env: Mapping[str, str] = os.environ) -> "Settings":
        """:raises SettingsError: names the variable and what it accepts"""
        start = _month(env, "HAWK_START", "2006-01-01")
        end = _month(env, "HAWK_END", env["HAWK_END"]) if env.get("HAWK_END") else None
        if end is not None and end < start:
            raise SettingsError(
                f"HAWK_END={end:%Y-%m-%d} is before HAWK_START={start:%Y-%m-%d}; swap them, or "
                "unset HAWK_END"
            )
        now = pd.Timestamp.now("UTC").tz_localize(None)
        if start > now:
            raise SettingsError(
                f"HAWK_START={start:%Y-%m-%d} is in the future; write a month that has begun"
            )
        if end is not None and end + pd.offsets.MonthBegin() > now:
            raise SettingsError(
                f"HAWK_END={end:%Y-%m-%d} is not over yet; it is the last month of a history that "
                "has ended. Unset it to keep the current month open"
            )
        return cls(
            market_data=env.get("HAWK_MARKET_DATA") or None,
            storage=env.get("HAWK_STORAGE") or ".hawk/storage",
            start=start,
            end=end,
            dagster_home=home_of(env),
            commitments=env.get("HAWK_COMMITMENTS") or None,
            aggregation=_aggregation(env),
            solver=SolverSettings(
                name=env.get("HAWK_SOLVER") or "auto",
                licence=env.get("MOSEKLM_LICENSE_FILE") or _default_licence(),
                server=env.get("HAWK_OPTSERVER") or None,
            ),
            tick_seconds=_seconds(env, "HAWK_TICK_SECONDS", "30"),
            webhook=_address(env, "HAWK_WEBHOOK"),
            book_due=_time(env, "HAWK_BOOK_DUE", "06:00"),
            ui_url=_address(env, "HAWK_UI_URL"),
        )


def _default_licence() -> str | None:
    path = os.path.expanduser("~/mosek/mosek.lic")
    return path if os.path.exists(path) else None


def _month(env: Mapping[str, str], name: str, default: str) -> pd.Timestamp:
    text = env.get(name) or default
    month = pd.to_datetime(text, format="%Y-%m-%d", errors="coerce")
    if pd.isna(month) or month.day != 1:
        raise SettingsError(
            f"{name}={text!r} is not the first day of a month; write it like 2006-01-01"
        )
    return month


def _aggregation(env: Mapping[str, str]) -> AggregationParameters:
    numbers: dict[str, Any] = {
        f.name: type(f.default) for f in fields(AggregationParameters) if f.name != "objective"
    }
    chosen: dict[str, Any] = {}
    for pair in filter(str.strip, env.get("HAWK_AGGREGATION", "").split(",")):
        name, _, text = (part.strip() for part in pair.partition("="))
        try:
            chosen[name] = numbers[name](text)
        except (KeyError, ValueError):
            raise SettingsError(
                f"HAWK_AGGREGATION: {pair.strip()!r} is not understood; write name=number, "
                f"separated by commas, with the names {', '.join(numbers)}"
            ) from None
    if env.get("HAWK_OBJECTIVE"):
        chosen["objective"] = env["HAWK_OBJECTIVE"]
    try:
        return AggregationParameters(**chosen)
    except SettingsError as error:
        source = "HAWK_OBJECTIVE" if str(error).startswith("objective") else "HAWK_AGGREGATION"
        raise SettingsError(f"{source}: {error}") from None


def _seconds(env: Mapping[str, str], name: str, default: str) -> int:
    text = env.get(name) or default
    if not re.fullmatch(r"[1-9][0-9]{0,4}", text):
        raise SettingsError(f"{name}={text!r} is not a number of seconds from 1; write it like 30")
    return int(text)


def _time(env: Mapping[str, str], name: str, default: str) -> time:
    text = env.get(name) or default
    try:
        return datetime.strptime(text, "%H:%M").time()
    except ValueError:
        raise SettingsError(
            f"{name}={text!r} is not a time of day; write it in UTC, like 06:00"
        ) from None


def _address(env: Mapping[str, str], name: str) -> str | None:
    """What is in an address, above all of a webhook, may be a secret: errors do not repeat it."""
    text = env.get(name)
    if text and not re.fullmatch(r"https?://[^\s/]+\S*", text):
        raise SettingsError(f"{name} is not an address; write it like https://host/path")
    return text or None


def batch_events() -> None:
    """Let this process write its asset events in batches: 20 times faster than one by one."""
    os.environ.setdefault(*EVENT_BATCH)
