"""The order of the tests: the slowest files begin, so that no worker is left with one at the end.

And a machine without a MOSEK licence and without a settings file, whatever this one has.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawk_assets.aggregation.mosek_session import get_session
from hawk_assets.orchestration.settings.environment import CONFIG
from hawk_assets_tests.aggregation.servers import LICENCE

os.environ[CONFIG] = os.devnull  # not the hawk.yaml that may be at the root of the project

# ``make test`` hands out whole files, in this order: a file shares what is slow to set up.
SLOWEST = (
    "test_stack.py",
    "orchestration/test_exactness.py",
    "test_ui.py",
    "deployments/test_extras.py",
    "orchestration/automation/test_alerts.py",
    "orchestration/automation/test_source_sensor_bigquery.py",
    "orchestration/test_recovery.py",
    "orchestration/instance/test_event_log.py",
    "orchestration/test_bucket_desk.py",
    "orchestration/test_kills.py",
    "orchestration/test_daily_refresh.py",
    "commands/test_backfill.py",
    "test_cli.py",
    "orchestration/test_interrupts.py",
    "orchestration/test_stored_files.py",
    "commands/test_adopt.py",
    "commands/test_turns.py",
    "commands/test_config.py",
    "commands/test_new_model.py",
    "orchestration/assets/test_stages.py",
    "models/test_contract.py",
    "models/test_mutants.py",
    "simulation/test_calendars.py",
    "aggregation/test_allocation.py",
    "test_services.py",
)
RANKS = {Path(__file__).parent / file: rank for rank, file in enumerate(SLOWEST)}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: RANKS.get(item.path, len(RANKS)))


@pytest.fixture
def unlicensed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No licence unless the test brings one, and no verdict of an earlier test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(LICENCE, "")  # what the pipeline sets is undone, too
    monkeypatch.delenv(LICENCE)
    get_session.cache_clear()
    yield
    get_session.cache_clear()
