"""A bucket that fails for a while or for good: waited for or named, and nothing half-written."""

import threading
from collections.abc import Callable, Iterator

import pytest

from hawk_assets.core.errors import SettingsError, StorageError
from hawk_assets.storage import gcs as bucket_module
from hawk_assets.storage.gcs import Bucket
from hawk_assets_tests.doubles.faults import Fault, Faults
from hawk_assets_tests.doubles.gcs import Gcs, gcs_server

OLD, NEW = b"old" * 1000, b"new" * 2000
BIG = bytes(range(256)) * 40_000  # more than is sent in one request
OBJECTS = "/b/desk/o"  # the client also asks once about the bucket, for its own statistics
ROLE = "Give the account the role Storage Object User on the bucket desk"


@pytest.fixture
def gcs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gcs]:
    """With a client that does not pause for long."""
    monkeypatch.setattr(bucket_module, "PAUSE_SECONDS", 0.02)
    with gcs_server("desk") as gcs:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs.url)
        gcs.put("desk", "a/t/x", OLD)
        yield gcs


@pytest.fixture
def bucket(gcs: Gcs) -> Bucket:
    return Bucket("desk", "a")


def read(bucket: Bucket, gcs: Gcs) -> None:
    assert bucket.read("t/x") == OLD
    assert bucket.read("t/y") is None


def write(bucket: Bucket, gcs: Gcs) -> None:
    bucket.write("t/x", NEW)
    assert gcs.objects("desk")["a/t/x"].content == NEW


def write_much(bucket: Bucket, gcs: Gcs) -> None:
    bucket.write("t/x", BIG)
    assert gcs.objects("desk")["a/t/x"].content == BIG


def names(bucket: Bucket, gcs: Gcs) -> None:
    assert bucket.names("t") == ["x"]
    assert bucket.names("nothing") == []


Act = Callable[[Bucket, Gcs], None]
ACTS = [read, write, write_much, names]


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
    bucket: Bucket,
    gcs: Gcs,
    act: Act,
    fault: Callable[[Faults], Fault],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    met = fault(gcs.faults)
    if met.seconds:
        monkeypatch.setattr(bucket_module, "REPLY_SECONDS", 0.5)
    act(bucket, gcs)
    assert met.hit.is_set()
    assert met.times == 0


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("status", "says"), [(503, "503 on request of the test"), (0, "Read timed out")]
)
def test_what_does_not_pass_is_waited_for_once(
    bucket: Bucket, gcs: Gcs, act: Act, status: int, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(bucket_module, "PATIENCE_SECONDS", 0.3)
        if status:
            gcs.faults.add(status, times=None)
        else:
            gcs.faults.stall(60, times=None)
            patch.setattr(bucket_module, "REPLY_SECONDS", 0.1)
        again = rf"{says}.*\. Run it again when the bucket desk can be used"
        with pytest.raises(StorageError, match=again):
            act(bucket, gcs)
        assert gcs.objects("desk")["a/t/x"].content == OLD
    asked = len(gcs.faults.log(OBJECTS))
    if status:  # with all the patience again
        with pytest.raises(StorageError, match=again):
            act(bucket, gcs)
        assert len(gcs.faults.log(OBJECTS)) == asked + 1
    gcs.faults.clear()
    act(bucket, gcs)
    gcs.faults.add(503, 2, OBJECTS)
    act(bucket, gcs)


@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize(
    ("status", "says"),
    [(403, ROLE), (401, ROLE), (400, "400 .* Run it again when the bucket desk can be used")],
)
def test_what_the_user_must_put_right_is_said_at_once(
    bucket: Bucket, gcs: Gcs, act: Act, status: int, says: str
) -> None:
    gcs.faults.add(status, times=None)
    with pytest.raises(StorageError, match=says):
        act(bucket, gcs)
    assert len(gcs.faults.log(OBJECTS)) == 1


def test_a_bucket_that_does_not_exist_is_no_empty_one(gcs: Gcs) -> None:
    nowhere = Bucket("nowhere", "a")
    for act in (
        lambda: nowhere.read("t/x"),
        lambda: nowhere.write("t/x", NEW),
        lambda: nowhere.write("t/x", BIG),
        lambda: nowhere.names("t"),
    ):
        with pytest.raises(StorageError, match=r"bucket does not exist.* create gs://nowhere$"):
            act()
    assert len(gcs.faults.log("/b/nowhere/o")) == 4


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bucket_module, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(bucket_module, "PAUSE_SECONDS", 0.02)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:9")
    with pytest.raises(StorageError, match="Connection refused"):
        Bucket("desk", "").read("x")


def test_without_an_emulator_credentials_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("SERVICE_ACCOUNT_JSON", "not JSON")
    with pytest.raises(SettingsError, match="SERVICE_ACCOUNT_JSON is not the JSON of"):
        Bucket("desk", "").write("x", NEW)


@pytest.mark.parametrize("prefix", ["", "a", "a/b c/ü %?#"])
def test_files_lie_below_the_prefix(gcs: Gcs, prefix: str) -> None:
    bucket = Bucket("desk", prefix)
    bucket.write("t/y", NEW)
    assert bucket.read("t/y") == NEW
    assert "y" in bucket.names("t")
    assert bucket.where("t/y").removeprefix("gs://desk/") in gcs.objects("desk")


def test_a_list_of_many_pages_is_whole(bucket: Bucket, gcs: Gcs) -> None:
    for number in range(2500):
        gcs.put("desk", f"a/many/{number:04}", b"")
    assert bucket.names("many") == [f"{number:04}" for number in range(2500)]


def test_an_interrupted_writer_leaves_the_old_file(bucket: Bucket, gcs: Gcs) -> None:
    gcs.faults.tear(times=None, where="request")
    writer = threading.Thread(target=lambda: bucket.write("t/x", BIG), daemon=True)
    writer.start()
    while len(gcs.faults.log("torn")) < 3:
        assert gcs.objects("desk")["a/t/x"].content == OLD
    gcs.faults.clear()
    writer.join()
    assert gcs.objects("desk")["a/t/x"].content == BIG
