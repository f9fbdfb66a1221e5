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
``DAGSTER_HOME``          Dagster's own folder (runs, event log); default ``.hawk/dagster``
========================= ======================================================================
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import pandas as pd

from hawk_assets.aggregation.parameters import AggregationParameters
from hawk_assets.aggregation.solvers import SolverSettings
from hawk_assets.core.errors import SettingsError

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
    """

    market_data: str | None
    storage: str
    start: pd.Timestamp
    end: pd.Timestamp | None
    dagster_home: Path
    commitments: str | None = None
    aggregation: AggregationParameters = field(default_factory=AggregationParameters)
    solver: SolverSettings = field(default_factory=SolverSettings)

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
            dagster_home=Path(env.get("DAGSTER_HOME") or ".hawk/dagster").expanduser().absolute(),
            commitments=env.get("HAWK_COMMITMENTS") or None,
            aggregation=_aggregation(env),
            solver=SolverSettings(
                name=env.get("HAWK_SOLVER") or "auto",
                licence=env.get("MOSEKLM_LICENSE_FILE") or _default_licence(),
                server=env.get("HAWK_OPTSERVER") or None,
            ),
        )


def _default_licence() -> str | None:
    path = os.path.expanduser("~/mosek/mosek.lic")
    return path if os.path.exists(path) else None


def _month(env: Mapping[str, str], name: str, default: str) -> pd.Timestamp:
    text = env.get(name) or default
    try:
        month = pd.Timestamp(pd.to_datetime(text, format="%Y-%m-%d"))
    except ValueError:
        month = pd.NaT
    if month is pd.NaT or month.day != 1:
        raise SettingsError(
            f"{name}={text!r} is not the first day of a month; write it like 2006-01-01"
        )
    return month


def _aggregation(env: Mapping[str, str]) -> AggregationParameters:
    numbers = {
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


def batch_events() -> None:
    """Let this process write its asset events in batches: 20 times faster than one by one."""
    os.environ.setdefault(*EVENT_BATCH)
