"""Where the output of runs goes: to a folder, or to a bucket that has to be there."""

import tempfile
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.instance.ref import InstanceRef
from dagster._core.storage.compute_log_manager import ComputeIOType

from hawk_assets.core.errors import SettingsError
from hawk_assets_tests.doubles.accounts import TOKEN, service_account
from hawk_assets_tests.doubles.faults import Reply, Request, error_reply, serve
from hawk_assets_tests.doubles.gcs import Gcs, gcs_server


def home(folder: Path, root: str) -> Path:
    (folder / "dagster.yaml").write_text(
        "compute_logs:\n"
        "  module: hawk_assets.orchestration.instance.compute_logs\n"
        "  class: ComputeLogs\n"
        f"  config: {{root: {root}}}\n"
    )
    return folder


@dg.op
def speak() -> None:
    print("heard")  # noqa: T201


@dg.job
def once() -> None:
    speak()


def test_a_folder_keeps_what_a_run_has_printed(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(home(tmp_path, f"{tmp_path}/logs"))) as instance:
        assert once.execute_in_process(instance=instance).success
    (said,) = (tmp_path / "logs").rglob("*.out")
    assert said.read_text() == "heard\n"


def test_a_bucket_keeps_it_for_the_account_of_which_only_the_text_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bucket = Gcs("desk")

    def for_the_account_only(request: Request) -> Reply:
        known = request.headers.get("Authorization") == f"Bearer {TOKEN}"
        return bucket(request) if known else error_reply(401, "who are you?", "authError")

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "here"))
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no.json"))
    with service_account() as key, serve(for_the_account_only, bucket.faults) as bucket.url:
        monkeypatch.setenv("SERVICE_ACCOUNT_JSON", key)
        monkeypatch.setenv("API_ENDPOINT_OVERRIDE", bucket.url)
        with dg.DagsterInstance.from_config(str(home(tmp_path, "gs://desk/logs"))) as instance:
            run = once.execute_in_process(instance=instance)
            manager = instance.compute_log_manager
            (output,) = [name for name in bucket.objects("desk") if name.endswith(".out")]
            assert output.startswith(f"logs/storage/{run.run_id}/compute_logs/")
            key_of_the_log = [run.run_id, "compute_logs", Path(output).stem]
            for local in (tmp_path / "here").rglob("*.out"):
                local.unlink()  # as on the webserver, which has not run it
            read = manager.get_log_data(key_of_the_log)
            assert read.stdout == b"heard\n"
            assert manager.get_log_keys_for_log_key_prefix(
                [run.run_id, "compute_logs"], ComputeIOType.STDOUT
            ) == [key_of_the_log]
        monkeypatch.setenv("SERVICE_ACCOUNT_JSON", "no key")
        ref = InstanceRef.from_dir(str(tmp_path))
        with pytest.raises(SettingsError, match="cannot be used: SERVICE_ACCOUNT_JSON is not"):
            _ = ref.compute_log_manager


def test_a_bucket_that_is_not_there_is_refused_by_its_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "no.json"))
    ref = InstanceRef.from_dir(str(home(tmp_path, "gs://nowhere/logs")))
    refused = "HAWK_COMPUTE_LOGS=gs://nowhere/logs cannot be used: "
    with pytest.raises(SettingsError, match=f"{refused}GOOGLE_APPLICATION_CREDENTIALS="):
        _ = ref.compute_log_manager
    with gcs_server("desk") as bucket:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", bucket.url)
        ref = InstanceRef.from_dir(str(tmp_path))
        with pytest.raises(SettingsError, match=f"{refused}there is no such bucket"):
            _ = ref.compute_log_manager
