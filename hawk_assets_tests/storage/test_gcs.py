"""A bucket that fails for a while or for good: waited for or named, and nothing half-written."""

import threading
from collections.abc import Callable, Iterator

import pytest

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.storage import gcs as gcs_module
from hawk_assets.storage.gcs import GcsFiles
from hawk_assets_tests.doubles.faults import Fault, Faults
from hawk_assets_tests.doubles.gcs import Gcs, gcs_server

OLD, NEW = b"old" * 1000, b"new" * 2000
BIG = bytes(range(256)) * 40_000  # more than is sent in one request
OBJECTS = "/b/desk/o"  # the client also asks once about the bucket, for its own statistics
ROLE = "Give the account the role Storage Object User on the bucket desk"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """With a client that does not pause for long."""
    monkeypatch.setattr(gcs_module, "PAUSE_SECONDS", 0.02)
    with gcs_server("desk") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        gcs.put("desk", "a/t/x", OLD)
        yield gcs


@pytest.fixture
def files(gcs: Gcs) -> GcsFiles:
    return GcsFiles("desk", "a")


def read(files: GcsFiles, gcs: Gcs) -> None:
    assert files.read("t/x") == OLD
    assert files.read("t/y") is None


def write(files: GcsFiles, gcs: Gcs) -> None:
    files.write("t/x", NEW)
    assert gcs.objects("desk")["a/t/x"].content == NEW


def write_much(files: GcsFiles, gcs: Gcs) -> None:
    files.write("t/x", BIG)
    assert gcs.objects("desk")["a/t/x"].content == BIG


def list_files(files: GcsFiles, gcs: Gcs) -> None:
    assert list(files.list("t")) == ["x"]
    assert files.list("nothing") == {}


Act = Callable[[GcsFiles, Gcs], None]
ACTS = [read, write, write_much, list_files]


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    "fault",
    [
        *[
            lambda on, status=status: on.add(status, times=2)
            for status in (429, 500, 502, 503, 504)
        ],
        lambda on: on.tear(match=OBJECTS),
        lambda on: on.tear(match=OBJECTS, where="request"),
        lambda on: on.stall(60, match=OBJECTS),
    ],
    ids=["429", "500", "502", "503", "504", "torn reply", "torn request", "silence"],
)
def test_what_passes_is_waited_for(
    files: GcsFiles,
    gcs: Gcs,
    act: Act,
    fault: Callable[[Faults], Fault],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = fault(gcs.faults)
    if met.seconds:
        monkeypatch.setattr(gcs_module, "REPLY_SECONDS", 0.5)
    act(files, gcs)
    assert met.hit.is_set()
    assert met.times == 0


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("status", "says"), [(503, "503 on request of the test"), (0, "Read timed out")]
)
def test_what_does_not_pass_is_waited_for_once(
    files: GcsFiles, gcs: Gcs, act: Act, status: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(gcs_module, "RETRY_SECONDS", 0.3)
        if status:
            gcs.faults.add(status, times=None)
        else:
            gcs.faults.stall(60, times=None)
            patch.setattr(gcs_module, "REPLY_SECONDS", 0.1)
        again = rf"{says}.*\. Try again when the bucket desk is available"
        with pytest.raises(StorageError, match=again):
            act(files, gcs)
        assert gcs.objects("desk")["a/t/x"].content == OLD
    asked = len(gcs.faults.log(OBJECTS))
    if status:  # with all the patience again
        with pytest.raises(StorageError, match=again):
            act(files, gcs)
        assert len(gcs.faults.log(OBJECTS)) == asked + 1
    gcs.faults.clear()
    act(files, gcs)
    gcs.faults.add(503, 2, OBJECTS)
    act(files, gcs)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("status", "says"),
    [(403, ROLE), (401, ROLE), (400, "400 .* Try again when the bucket desk is available")],
)
def test_what_the_user_must_put_right_is_said_at_once(
    files: GcsFiles, gcs: Gcs, act: Act, status: int, says: str
) -> None:
    gcs.faults.add(status, times=None)
    with pytest.raises(StorageError, match=says):
        act(files, gcs)
    assert len(gcs.faults.log(OBJECTS)) == 1


def test_a_bucket_that_does_not_exist_is_no_empty_one(gcs: Gcs) -> None:
    nowhere = GcsFiles("nowhere", "a")
    for act in (
        lambda: nowhere.read("t/x"),
        lambda: nowhere.write("t/x", NEW),
        lambda: nowhere.write("t/x", BIG),
        lambda: nowhere.list("t"),
    ):
        with pytest.raises(StorageError, match=r"bucket does not exist.* create gs://nowhere$"):
            act()
    assert len(gcs.faults.log("/b/nowhere/o")) == 4


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gcs_module, "RETRY_SECONDS", 0.1)
    monkeypatch.setattr(gcs_module, "PAUSE_SECONDS", 0.02)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="Connection refused"):
        GcsFiles("desk", "").read("x")


def test_without_an_emulator_credentials_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", "not JSON")
    with pytest.raises(SettingsError, match="SERVICE_ACCOUNT_JSON is not the JSON of"):
        GcsFiles("desk", "").write("x", NEW)


@pytest.mark.parametrize("prefix", ["", "a", "a/b c/ü %?#"])
def test_files_lie_below_the_prefix(gcs: Gcs, prefix: str) -> None:
    files = GcsFiles("desk", prefix)
    files.write("t/y", NEW)
    assert files.read("t/y") == NEW
    assert "y" in files.list("t")
    assert files.uri("t/y").removeprefix("gs://desk/") in gcs.objects("desk")


def test_a_list_of_many_pages_is_whole(files: GcsFiles, gcs: Gcs) -> None:
    for number in range(2500):
        gcs.put("desk", f"a/many/{number:04}", b"")
    assert list(files.list("many")) == [f"{number:04}" for number in range(2500)]


def test_an_interrupted_writer_leaves_the_old_file(files: GcsFiles, gcs: Gcs) -> None:
    gcs.faults.tear(times=None, where="request")
    writer = threading.Thread(target=lambda: files.write("t/x", BIG), daemon=True)
    writer.start()
    while len(gcs.faults.log("torn")) < 3:
        assert gcs.objects("desk")["a/t/x"].content == OLD
    gcs.faults.clear()
    writer.join()
    assert gcs.objects("desk")["a/t/x"].content == BIG


def test_what_arrives_with_a_wrong_bit_is_read_again(files: GcsFiles, gcs: Gcs) -> None:
    gcs.faults.spoil(times=2, match=f"GET .*{OBJECTS}")
    assert files.read("t/x") == OLD
    assert len(gcs.faults.log(f"GET .*{OBJECTS}")) == 3


def test_what_always_arrives_with_a_wrong_bit_names_object_and_checksum(
    files: GcsFiles, gcs: Gcs
) -> None:
    gcs.faults.spoil(times=None, match=f"GET .*{OBJECTS}")
    checksum = gcs.objects("desk")["a/t/x"].hashes["crc32c"]
    with pytest.raises(StorageError, match="gs://desk/a/t/x has arrived damaged 4 times") as error:
        files.read("t/x")
    assert f"crc32c={checksum}" in str(error.value)
    gcs.faults.clear()
    assert files.read("t/x") == OLD


def test_an_upload_whose_reply_is_lost_does_not_replace_what_another_has_written_since(
    files: GcsFiles, gcs: Gcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gcs_module, "PAUSE_SECONDS", 0.5)
    lost, refused = gcs.faults.tear(match="/upload/", where="reply"), []

    def write_late() -> None:
        with pytest.raises(StorageError, match="has been replaced") as error:
            files.write("t/z", OLD, began="2026-01-01T10:00")
        refused.append(error)

    late = threading.Thread(target=write_late)
    late.start()
    assert lost.hit.wait(10)
    GcsFiles("desk", "a").write("t/z", NEW, began="2026-01-01T11:00")
    late.join()
    assert gcs.objects("desk")["a/t/z"].content == NEW
    assert len(refused) == 1


def test_a_lost_reply_alone_is_no_second_write(files: GcsFiles, gcs: Gcs) -> None:
    gcs.faults.tear(match="/upload/", where="reply")
    stamp = files.write("t/z", NEW, began="2026-01-01T10:00")
    assert str(gcs.objects("desk")["a/t/z"].generation) == stamp == files.list("t")["z"]


def test_a_run_that_has_been_replaced_cannot_write(files: GcsFiles, gcs: Gcs) -> None:
    files.write("t/z", OLD, began="2026-01-01T10:00")
    files.write("t/z", NEW, began="2026-01-01T11:00")
    with pytest.raises(StorageError, match="of 2026-01-01T10:00, has been replaced and stops"):
        files.write("t/z", OLD, began="2026-01-01T10:00")
    assert gcs.objects("desk")["a/t/z"].content == NEW
    files.write("t/z", OLD, began="2026-01-01T12:00")
    assert files.read("t/z") == OLD


def test_two_writers_at_once_leave_the_file_of_the_later_run(files: GcsFiles, gcs: Gcs) -> None:
    runs = [f"2026-01-01T10:{minute:02}" for minute in range(12)]
    refused: list[str] = []

    def write(began: str) -> None:
        try:
            GcsFiles("desk", "a").write("t/z", began.encode(), began=began)
        except StorageError:
            refused.append(began)

    threads = [threading.Thread(target=write, args=(began,)) for began in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert files.read("t/z") == runs[-1].encode()
    assert runs[-1] not in refused
