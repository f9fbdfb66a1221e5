"""The order of the tests: those that share something slow begin first, beside all others.

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.get_closest_marker("xdist_group") is None)


@pytest.fixture
def unlicensed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No licence unless the test brings one, and no verdict of an earlier test."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv(LICENCE, "")  # what the pipeline sets is undone, too
    monkeypatch.delenv(LICENCE)
    get_session.cache_clear()
    yield
    get_session.cache_clear()
