"""A folder and a home of their own: no ``hawk.yaml`` or licence of this machine counts."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings import load_settings


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def refused() -> Callable[..., str]:
    """What is said of an environment, or of the content of ``hawk.yaml``, that is refused."""

    def refuse(content: str | bytes | None = None, **environment: str) -> str:
        if content is not None:
            Path("hawk.yaml").write_bytes(content.encode() if isinstance(content, str) else content)
        with pytest.raises(SettingsError) as error:
            load_settings(environment)
        return str(error.value)

    return refuse
