"""Where the output of runs goes: to a folder, or to a bucket that has to be there."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef

from hawk_assets.core.errors import SettingsError


def home(folder: Path, root: str) -> Path:
    (folder / "dagster.yaml").write_text(
        "compute_logs:\n"
        "  module: hawk_assets.orchestration.instance.compute_logs\n"
        "  class: ComputeLogs\n"
        f"  config: {{root: {root}}}\n"
    )
    return folder


def test_a_folder_keeps_what_a_run_has_printed(tmp_path: Path) -> None:
    @dg.op
    def speak() -> None:
        print("heard")  # noqa: T201

    @dg.job
    def once() -> None:
        speak()

    with dg.DagsterInstance.from_config(str(home(tmp_path, f"{tmp_path}/logs"))) as instance:
        assert once.execute_in_process(instance=instance).success
    (said,) = (tmp_path / "logs").rglob("*.out")
    assert said.read_text() == "heard\n"


def test_a_bucket_that_is_not_there_is_refused_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no.json"))
    ref = InstanceRef.from_dir(str(home(tmp_path, "gs://nowhere/logs")))
    with pytest.raises(SettingsError, match="HAWK_COMPUTE_LOGS=gs://nowhere/logs cannot be used"):
        _ = ref.compute_log_manager
