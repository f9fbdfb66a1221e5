"""One PostgreSQL server for the tests of this folder, in each worker that needs one."""

from collections.abc import Iterator

import pytest

from hawk_assets_tests.postgres import Cluster, open_cluster


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    with open_cluster() as it:
        yield it
