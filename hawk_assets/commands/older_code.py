"""What older code, or code with other settings, has computed; and which setting it is."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg
import numpy as np
import pandas as pd

from hawk_assets.core.types import Flags, TableKey
from hawk_assets.orchestration.automation.staleness import History, read_progress
from hawk_assets.orchestration.build import Pipeline
from hawk_assets.orchestration.catalog import WEIGHTS, Table, build_catalog
from hawk_assets.orchestration.instance.internals import CODE_VERSION_TAG
from hawk_assets.orchestration.settings import Settings


@dataclass(frozen=True)
class OlderCode:
    """:param tables: with months that other code or settings computed
    :param settings: which settings those are, as far as that can be known; one text each
    """

    tables: list[str] = field(default_factory=list)
    settings: list[str] = field(default_factory=list)


def find_older_code(pipeline: Pipeline, instance: dg.DagsterInstance) -> OlderCode:
    """The tables that ``hawk refresh`` leaves as they are although they would be computed anew."""
    history, _ = read_progress(instance, pipeline.catalog, pipeline.months)
    versions = {
        key: set(_versions(instance, table, history[key]).values()) - {table.code_version()}
        for key, table in pipeline.catalog.items()
    }
    older = {key: its for key, its in versions.items() if its}
    if not older:
        return OlderCode()
    names = [pipeline.catalog[key].name for key in older]
    return OlderCode(names, _changed_settings(pipeline, older))


def months_of_older_code(instance: dg.DagsterInstance, table: Table, history: History) -> Flags:
    """Months whose latest materialisation carries another code version than the code now.

    One run writes one version for all months of a table, so one event per run is enough.
    """
    now, stored = table.code_version(), history.materialised > 0
    versions = _versions(instance, table, history)
    old = [event for event, version in versions.items() if version != now]
    by_old_runs = history.materialised_by[np.isin(history.materialised, old)]
    return np.isin(history.materialised_by, by_old_runs) & stored


def _versions(instance: dg.DagsterInstance, table: Table, history: History) -> dict[int, str]:
    """The code version of one materialisation of each run, by storage id."""
    stored = history.materialised > 0
    _, first = np.unique(history.materialised_by[stored], return_index=True)
    ids = history.materialised[stored][first].tolist()
    if not ids:
        return {}
    records = instance.fetch_materializations(
        dg.AssetRecordsFilter(dg.AssetKey(table.key), storage_ids=ids), limit=len(ids)
    ).records
    return {
        record.storage_id: version
        for record in records
        if (event := record.asset_materialization)
        and (version := (event.tags or {}).get(CODE_VERSION_TAG))
    }


def _changed_settings(pipeline: Pipeline, older: Mapping[TableKey, set[str]]) -> list[str]:
    """The settings with which the code of today has the version of a stored table.

    Only a version is stored. So those values are tried that a setting is likely to have had: the
    stored objective, and each section's defaults.
    """
    now, found = pipeline.settings, []
    objective = _stored_objective(pipeline)
    before = now
    if objective and objective != now.objective:
        before = now.model_copy(
            update={"aggregation": replace(now.aggregation, objective=objective)}
        )
        found.append(f"HAWK_OBJECTIVE is {now.objective}, the stored weights are by {objective}")
    for section in ("aggregation", "simulation", "sizing"):
        default: Any = Settings.model_fields[section].default
        if section == "aggregation":
            default = replace(default, objective=before.aggregation.objective)
        tried = before.model_copy(update={section: default})
        if getattr(before, section) != default and _explains(pipeline, tried, older):
            found.append(f"HAWK_{section.upper()} is set, the stored tables have the defaults")
    return found


def _stored_objective(pipeline: Pipeline) -> str | None:
    if not len(months := pipeline.storage.months(WEIGHTS)):
        return None
    stored = pipeline.storage.read(WEIGHTS, pd.DatetimeIndex([months[-1]]), ["objective"])
    return str(stored["objective"].iloc[0]) if len(stored) else None


def _explains(pipeline: Pipeline, tried: Settings, older: Mapping[TableKey, set[str]]) -> bool:
    """Whether a stored table has the version of these settings and no other than it has now."""
    catalog = build_catalog(pipeline.models, tried.simulation, tried.aggregation, tried.sizing)
    return any(catalog[key].code_version() in versions for key, versions in older.items())
