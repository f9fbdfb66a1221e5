"""The double of Google Cloud Storage, held against the clients that it is for."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster_gcp.gcs import GCSResource
from dagster_gcp.gcs.compute_log_manager import GCSComputeLogManager
from google.api_core.exceptions import BadRequest, Conflict, NotFound, PreconditionFailed
from google.cloud import storage
from google.cloud.storage.exceptions import DataCorruption
from pyarrow.fs import FileSelector, FileType, GcsFileSystem

from hawk_assets_tests.doubles.gcs import Gcs, gcs_server

BIG = os.urandom(9_000_000)  # more than clients send in one request
NAMES = ["a/1", "a/2", "a/b/3", "a/b/4", "ab", "b/ü %?#", "c"]


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    with gcs_server("desk", "other") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        yield gcs


@pytest.fixture
def bucket(gcs: Gcs) -> storage.Bucket:
    return GCSResource().get_client().bucket("desk")


@pytest.mark.parametrize("content", [b"", b"x\r\n--y\r\n", BIG], ids=["empty", "lines", "big"])
def test_a_download_returns_what_was_uploaded(bucket: storage.Bucket, content: bytes) -> None:
    blob = bucket.blob("a/ü %?#")
    blob.metadata = {"made by": "test"}
    blob.upload_from_string(content, "text/csv")
    found = bucket.get_blob(blob.name)
    assert found
    assert (found.size, found.content_type, found.metadata) == (
        len(content),
        "text/csv",
        {"made by": "test"},
    )
    assert found.download_as_bytes() == content  # and its checksum is right
    assert found.download_as_bytes(checksum="md5") == content


def test_a_part_is_downloaded_by_its_first_and_last_byte(bucket: storage.Bucket) -> None:
    bucket.blob("x").upload_from_string(b"0123456789")
    blob = bucket.blob("x")
    assert blob.download_as_bytes(start=2, end=4) == b"234"
    assert blob.download_as_bytes(start=7) == b"789"
    assert blob.download_as_bytes(start=-3) == b"789"
    assert blob.download_as_bytes(start=2, end=400) == b"23456789"
    with blob.open("rb", chunk_size=4) as stream:
        assert stream.read() == b"0123456789"


def test_damaged_content_is_refused(bucket: storage.Bucket, gcs: Gcs) -> None:
    blob = bucket.blob("x")
    blob.crc32c = "AAAAAA=="
    with pytest.raises((BadRequest, DataCorruption)):
        blob.upload_from_string(b"x", checksum=None)
    blob.md5_hash, blob.crc32c = "1B2M2Y8AsgTpgAmY7PhCfg==", None
    with pytest.raises((BadRequest, DataCorruption)):
        blob.upload_from_string(b"x", checksum=None)
    assert not gcs.objects("desk")


@pytest.mark.parametrize("page", [1, 2, 100])
def test_lists_have_pages_prefixes_and_folders(bucket: storage.Bucket, page: int) -> None:
    for name in reversed(NAMES):
        bucket.blob(name).upload_from_string(name.encode())

    def names(**options: str) -> tuple[list[str], list[str]]:
        found = bucket.list_blobs(page_size=page, **options)
        return [blob.name for blob in found], sorted(found.prefixes)

    assert names() == (NAMES, [])
    assert names(prefix="a/") == (NAMES[:4], [])
    assert names(delimiter="/") == (["ab", "c"], ["a/", "b/"])
    assert names(prefix="a/", delimiter="/") == (NAMES[:2], ["a/b/"])
    assert names(prefix="a/b", delimiter="/") == ([], ["a/b/"])
    assert names(start_offset="a/b/4", end_offset="c") == (NAMES[3:6], [])
    assert names(prefix="nothing") == ([], [])


def test_a_missing_object_is_404(bucket: storage.Bucket) -> None:
    assert bucket.exists()
    nowhere = bucket.client.bucket("nowhere")
    assert not nowhere.exists()
    assert bucket.get_blob("x") is None
    with pytest.raises(NotFound, match="No such object: desk/x"):
        bucket.blob("x").download_as_bytes()
    with pytest.raises(NotFound, match="No such object: desk/x"):
        bucket.delete_blob("x")
    for act in (
        lambda: nowhere.blob("x").upload_from_string(b"x"),
        lambda: nowhere.blob("x").upload_from_string(BIG),
        lambda: nowhere.blob("x").download_as_bytes(),
        lambda: list(nowhere.list_blobs()),
    ):
        with pytest.raises(NotFound, match="The specified bucket does not exist"):
            act()


def test_a_bucket_is_created_once_and_deleted_when_empty(bucket: storage.Bucket) -> None:
    client = bucket.client
    client.project = "desk"
    client.create_bucket("new")
    with pytest.raises(Conflict):
        client.create_bucket("new")
    assert {b.name for b in client.list_buckets()} == {"desk", "other", "new"}
    client.bucket("new").blob("x").upload_from_string(b"x")
    with pytest.raises(Conflict):
        client.bucket("new").delete()
    client.bucket("new").delete_blob("x")
    client.bucket("new").delete()
    assert not client.bucket("new").exists()


def test_a_request_about_another_generation_is_refused(bucket: storage.Bucket) -> None:
    blob = bucket.blob("x")
    blob.upload_from_string(b"1", if_generation_match=0)
    first = blob.generation
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(b"2", if_generation_match=0)
    with pytest.raises(PreconditionFailed):
        blob.upload_from_string(BIG, if_generation_match=0)
    blob.upload_from_string(b"2", if_generation_match=first)
    assert blob.generation > first
    with pytest.raises(PreconditionFailed):
        bucket.blob("x").delete(if_generation_match=first)
    with pytest.raises(NotFound):
        bucket.blob("x", generation=first).download_as_bytes()
    with pytest.raises(PreconditionFailed):
        bucket.copy_blob(blob, bucket, "y", if_source_generation_match=first)
    assert bucket.blob("x").download_as_bytes(if_generation_match=blob.generation) == b"2"


def test_copies_renames_and_compositions(bucket: storage.Bucket) -> None:
    blob, other = bucket.blob("x"), bucket.client.bucket("other")
    blob.upload_from_string(b"one", "text/plain")
    copy = bucket.copy_blob(blob, other, "y")
    assert (copy.download_as_bytes(), copy.content_type) == (b"one", "text/plain")
    renamed = bucket.rename_blob(blob, "z")
    assert bucket.get_blob("x") is None
    assert other.blob("w").rewrite(renamed) == (None, 3, 3)
    sum_of_them = bucket.blob("sum")
    sum_of_them.compose([renamed, renamed])
    assert sum_of_them.download_as_bytes() == b"oneone"
    assert (sum_of_them.component_count, sum_of_them.md5_hash) == (2, None)
    with pytest.raises(NotFound):
        sum_of_them.compose([renamed, bucket.blob("none")])
    renamed.metadata = {"a": "b"}
    renamed.patch()
    found = bucket.get_blob("z")
    assert found
    assert (found.metadata, found.metageneration) == ({"a": "b"}, 2)


def test_an_object_appears_when_its_upload_is_complete(bucket: storage.Bucket, gcs: Gcs) -> None:
    pieces = bucket.blob("x", chunk_size=256 * 1024)
    with pieces.open("wb", ignore_flush=True) as stream:
        stream.write(BIG[:1_000_000])
        assert gcs.faults.log("^308 PUT")
        assert not gcs.objects("desk")
    assert gcs.objects("desk")["x"].content == BIG[:1_000_000]


@pytest.mark.parametrize("where", ["request", "reply"])
def test_a_torn_upload_is_resumed_and_stored_once(
    bucket: storage.Bucket, gcs: Gcs, where: str
) -> None:
    gcs.faults.tear(match="^PUT", where=where)
    bucket.blob("x").upload_from_string(BIG)
    assert gcs.objects("desk")["x"].content == BIG
    assert len(gcs.faults.log("PUT")) > 1
    generation = gcs.objects("desk")["x"].generation
    session = gcs.faults.log("PUT")[-1].split("upload_id=")[1]
    bucket.client._http.put(
        f"{gcs.url}/upload/storage/v1/b/desk/o?upload_id={session}",
        headers={"Content-Range": f"bytes */{len(BIG)}"},
    ).raise_for_status()
    assert gcs.objects("desk")["x"].generation == generation


def test_pyarrow_reads_writes_lists_and_moves(gcs: Gcs) -> None:
    files = GcsFileSystem(
        anonymous=True, scheme="http", endpoint_override=gcs.url.removeprefix("http://")
    )
    for name, content in {"a/x": b"x", "a/b/y": BIG, "z": b""}.items():
        with files.open_output_stream(f"desk/{name}") as out:
            out.write(content)
        with files.open_input_stream(f"desk/{name}") as stream:
            assert stream.read() == content
    found = files.get_file_info(FileSelector("desk/a"))
    assert {(f.path, f.type, f.size) for f in found if f.is_file} == {
        ("desk/a/x", FileType.File, 1)
    }
    files.move("desk/a/x", "desk/moved")
    files.delete_file("desk/z")
    assert {name for name in gcs.objects("desk") if not name.endswith("/")} == {"a/b/y", "moved"}
    with pytest.raises(FileNotFoundError, match="No such object"):
        files.open_input_stream("desk/none").read()
    with pytest.raises(FileNotFoundError, match="bucket does not exist"):
        files.open_output_stream("nowhere/x").close()


COMPUTE_LOGS = """
compute_logs:
  module: dagster_gcp.gcs.compute_log_manager
  class: GCSComputeLogManager
  config: {bucket: desk, prefix: logs, local_dir: LOCAL, upload_interval: 10}
telemetry: {enabled: false}
"""


@dg.op
def talk() -> None:
    sys.stdout.write("what the step printed\n")
    sys.stdout.flush()


def test_dagster_keeps_compute_logs(gcs: Gcs, tmp_path: Path) -> None:
    settings = COMPUTE_LOGS.replace("LOCAL", str(tmp_path / "local"))
    (tmp_path / "dagster.yaml").write_text(settings)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        run = dg.GraphDefinition("talking", node_defs=[talk]).execute_in_process(instance=instance)
        (name,) = [name for name in gcs.objects("desk") if name.endswith(".out")]
        key = [run.run_id, "compute_logs", Path(name).stem]
        assert name == f"logs/storage/{'/'.join(key)}.out"
        shutil.rmtree(tmp_path / "local")  # as on another machine
        manager = instance.compute_log_manager
        read = manager.get_log_data(key)
        assert read.stdout == b"what the step printed\n"
        manager.delete_logs(prefix=key[:1])
        assert not gcs.objects("desk")


def test_a_bucket_of_compute_logs_must_exist_at_the_start(gcs: Gcs, tmp_path: Path) -> None:
    with pytest.raises(dg._check.CheckError):
        GCSComputeLogManager("nowhere", str(tmp_path))


def test_the_gcloud_command_copies_there_and_back(gcs: Gcs, tmp_path: Path) -> None:
    if not shutil.which("gcloud"):
        pytest.skip("gcloud is not installed")
    (tmp_path / "token").write_text("token")
    (tmp_path / "big").write_bytes(BIG)
    env = {
        **os.environ,
        "CLOUDSDK_API_ENDPOINT_OVERRIDES_STORAGE": f"{gcs.url}/storage/v1/",
        "CLOUDSDK_AUTH_ACCESS_TOKEN_FILE": str(tmp_path / "token"),
        "CLOUDSDK_CONFIG": str(tmp_path / "config"),
        "CLOUDSDK_CORE_DISABLE_PROMPTS": "1",
        "CLOUDSDK_CORE_PROJECT": "desk",
    }

    def copy(*arguments: str) -> None:
        subprocess.run(["gcloud", "storage", "cp", *arguments], env=env, check=True, timeout=120)

    copy(str(tmp_path / "big"), str(tmp_path / "token"), "gs://desk/a/")
    assert {n: o.content for n, o in gcs.objects("desk").items()} == {
        "a/big": BIG,
        "a/token": b"token",
    }
    (tmp_path / "again").mkdir()
    copy("gs://desk/a/*", str(tmp_path / "again"))
    assert (tmp_path / "again" / "big").read_bytes() == BIG
    assert (tmp_path / "again" / "token").read_text() == "token"
