"""Google Cloud Storage on loopback, in memory: the part of its JSON API that its clients use.

An object appears when its upload is complete. Every version of a name has a generation; a request
for a different generation is refused with 412. Not here: access control, object versions that are
no longer live, batches, signed URLs.
"""

import json
import re
import threading
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from hashlib import md5
from itertools import count
from typing import Any
from urllib.parse import quote

import google_crc32c

from hawk_assets_tests.doubles.faults import (
    Faults,
    Reply,
    Request,
    error_reply,
    json_reply,
    serve,
)

_CHUNK = 256 * 1024
_SETTABLE = ("contentType", "contentEncoding", "cacheControl", "contentDisposition", "metadata")


class _RefusedError(Exception):
    def __init__(self, status: int, message: str, reason: str) -> None:
        super().__init__(message)
        self.reply = error_reply(status, message, reason)


def _missing(what: str) -> _RefusedError:
    return _RefusedError(404, f"{what} does not exist", "notFound")


def _wrong(message: str) -> _RefusedError:
    return _RefusedError(400, message, "invalid")


@dataclass(frozen=True)
class StoredObject:
    """A live object.

    :param fields: the fields of its resource that a writer may set
    :param components: the number of objects that it was composed of; 0 if it was uploaded
    """

    bucket: str
    name: str
    content: bytes
    generation: int
    created: datetime
    fields: Mapping[str, Any] = field(default_factory=dict)
    metageneration: int = 1
    components: int = 0

    @property
    def hashes(self) -> dict[str, str]:
        """By their names in an object's resource; a composed object has no MD5."""
        crc = {"crc32c": b64encode(google_crc32c.Checksum(self.content).digest()).decode()}
        if self.components:
            return crc
        return crc | {"md5Hash": b64encode(md5(self.content).digest()).decode()}

    def resource(self, url: str) -> dict[str, Any]:
        at = self.created.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        path = f"b/{quote(self.bucket)}/o/{quote(self.name, safe='')}"
        return {
            "kind": "storage#object",
            "id": f"{self.bucket}/{self.name}/{self.generation}",
            "selfLink": f"{url}/storage/v1/{path}",
            "mediaLink": f"{url}/download/storage/v1/{path}?alt=media",
            "bucket": self.bucket,
            "name": self.name,
            "size": str(len(self.content)),
            "generation": str(self.generation),
            "metageneration": str(self.metageneration),
            "etag": f"{self.generation}.{self.metageneration}",
            "storageClass": "STANDARD",
            "timeCreated": at,
            "updated": at,
            **({"componentCount": self.components} if self.components else {}),
            **self.hashes,
            **self.fields,
        }


@dataclass
class _Upload:
    """A resumable session: what has arrived, and the object once it is complete."""

    bucket: str
    start: Request
    content: bytearray = field(default_factory=bytearray)
    stored: StoredObject | None = None


class Gcs:
    """The service.

    :param buckets: the buckets that exist from the start
    """

    def __init__(self, *buckets: str) -> None:
        self.url = ""
        self.faults = Faults()
        self._lock = threading.RLock()
        self._buckets: dict[str, dict[str, StoredObject]] = {name: {} for name in buckets}
        self._uploads: dict[str, _Upload] = {}
        self._numbers = count(int(datetime.now(UTC).timestamp() * 1e6))

    def objects(self, bucket: str) -> dict[str, StoredObject]:
        """The live objects of a bucket, by name."""
        with self._lock:
            return dict(sorted(self._buckets[bucket].items()))

    def put(self, bucket: str, name: str, content: bytes, **fields: Any) -> StoredObject:
        """Store an object at once, like a complete upload."""
        stored = StoredObject(
            bucket, name, content, next(self._numbers), datetime.now(UTC), fields=fields
        )
        self._buckets[bucket][name] = stored
        return stored

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            try:
                return self._route(request)
            except _RefusedError as refusal:
                return refusal.reply

    def _route(self, request: Request) -> Reply:
        """Requests by method and path; the XML API can only read an object."""
        upload, at = "/upload/" in request.path, request.parts()
        if "b" not in at[:5]:
            if request.method in ("GET", "HEAD") and len(at) > 1:
                return self._media(self._find(request, at[0], "/".join(at[1:])), request)
            raise _missing(request.path)
        at = at[at.index("b") + 1 :]
        match request.method, at:
            case "GET", []:
                return json_reply({"items": [_bucket(name) for name in self._buckets]})
            case "POST", []:
                return self._make_bucket(json.loads(request.body)["name"])
            case "GET", [bucket]:
                self._objects(bucket)
                return json_reply(_bucket(bucket))
            case "DELETE", [bucket]:
                return self._drop_bucket(bucket)
            case "POST", [bucket, "o"] if upload:
                return self._upload(request, bucket)
            case "PUT", [bucket, "o"] if upload:
                return self._resume(request)
            case "DELETE", [bucket, "o"] if upload:
                self._uploads.pop(request.query["upload_id"], None)
                return Reply(499)
            case "GET", [bucket, "o"]:
                return self._list(request, bucket)
            case "GET", [bucket, "o", name]:
                found = self._find(request, bucket, name)
                if request.query.get("alt") == "media":
                    return self._media(found, request)
                return json_reply(found.resource(self.url))
            case "PATCH", [bucket, "o", name]:
                return self._patch(request, self._find(request, bucket, name))
            case "DELETE", [bucket, "o", name]:
                del self._buckets[bucket][self._find(request, bucket, name).name]
                return Reply(204)
            case "POST", [bucket, "o", name, "compose"]:
                return self._compose(request, bucket, name)
            case "POST", [bucket, "o", name, ("copyTo" | "rewriteTo") as verb, "b", to, "o", new]:
                source = self._find(request, bucket, name, "Source")
                return self._copy(request, source, verb, to, new)
        raise _missing(f"{request.method} {request.path}")

    def _objects(self, bucket: str) -> dict[str, StoredObject]:
        if bucket not in self._buckets:
            raise _RefusedError(404, "The specified bucket does not exist.", "notFound")
        return self._buckets[bucket]

    def _make_bucket(self, name: str) -> Reply:
        if name in self._buckets:
            raise _RefusedError(
                409, "Your previous request to create the bucket succeeded", "conflict"
            )
        self._buckets[name] = {}
        return json_reply(_bucket(name))

    def _drop_bucket(self, name: str) -> Reply:
        if self._objects(name):
            raise _RefusedError(409, "The bucket you tried to delete is not empty.", "conflict")
        del self._buckets[name]
        return Reply(204)

    def _check(self, request: Request, bucket: str, name: str, prefix: str = "") -> None:
        """:raises _RefusedError: 412, the live object is not the one that the request names"""
        found = self._objects(bucket).get(name)
        facts = {
            "Generation": found.generation if found else 0,
            "Metageneration": found.metageneration if found else 0,
        }
        for what, fact in facts.items():
            for condition, good in (("Match", True), ("NotMatch", False)):
                wanted = request.query.get(f"if{prefix}{what}{condition}")
                header = f"x-goog-if-{what.lower()}-{condition.lower()}"
                wanted = wanted or (None if prefix else request.headers.get(header))
                if wanted is not None and (int(wanted) == fact) != good:
                    text = "At least one of the pre-conditions you specified did not hold."
                    raise _RefusedError(412, text, "conditionNotMet")

    def _find(self, request: Request, bucket: str, name: str, prefix: str = "") -> StoredObject:
        found = self._objects(bucket).get(name)
        wanted = request.query.get("sourceGeneration" if prefix else "generation")
        if found is None or wanted not in (None, str(found.generation)):
            raise _RefusedError(404, f"No such object: {bucket}/{name}", "notFound")
        self._check(request, bucket, name, prefix)
        return found

    def _list(self, request: Request, bucket: str) -> Reply:
        query, objects = request.query, self._objects(bucket)
        prefix, delimiter = query.get("prefix", ""), query.get("delimiter", "")
        first, end = query.get("startOffset", ""), query.get("endOffset")
        entries: dict[str, StoredObject | None] = {}
        for name in sorted(objects):
            if not name.startswith(prefix) or name < first or (end and name >= end):
                continue
            head, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            entries[prefix + head + found if found else name] = None if found else objects[name]
        names = [name for name in entries if name > query.get("pageToken", "")]
        page = names[: min(int(query.get("maxResults", 1000)), 1000)]
        content: dict[str, Any] = {"kind": "storage#objects"}
        if items := [found.resource(self.url) for name in page if (found := entries[name])]:
            content["items"] = items
        if prefixes := [name for name in page if entries[name] is None]:
            content["prefixes"] = prefixes
        if len(page) < len(names):
            content["nextPageToken"] = page[-1]
        return json_reply(content)

    def _media(self, found: StoredObject, request: Request) -> Reply:
        size, content = len(found.content), found.content
        hashes = {key.removesuffix("Hash"): value for key, value in found.hashes.items()}
        headers = {
            "Content-Type": found.fields.get("contentType", "application/octet-stream"),
            "ETag": f"{found.generation}.{found.metageneration}",
            "x-goog-generation": str(found.generation),
            "x-goog-metageneration": str(found.metageneration),
            "x-goog-stored-content-length": str(size),
            "x-goog-hash": ",".join(f"{key}={value}" for key, value in hashes.items()),
        }
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if not asked:
            return Reply(200, content, headers)
        first = int(asked[1]) if asked[1] else max(size - int(asked[2]), 0)
        last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
        if first > last:
            raise _RefusedError(
                416, "Requested range not satisfiable", "requestedRangeNotSatisfiable"
            )
        headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return Reply(206, content[first : last + 1], headers)

    def _patch(self, request: Request, found: StoredObject) -> Reply:
        fields = {**found.fields, **_settable(json.loads(request.body))}
        changed = replace(found, fields=fields, metageneration=found.metageneration + 1)
        self._buckets[found.bucket][found.name] = changed
        return json_reply(changed.resource(self.url))

    def _copy(self, request: Request, source: StoredObject, verb: str, to: str, new: str) -> Reply:
        self._check(request, to, new)
        fields = _settable(json.loads(request.body or b"{}")) or source.fields
        stored = self.put(to, new, source.content, **fields)
        if verb == "copyTo":
            return json_reply(stored.resource(self.url))
        done = {
            "kind": "storage#rewriteResponse",
            "done": True,
            "resource": stored.resource(self.url),
        }
        size = str(len(stored.content))
        return json_reply({**done, "totalBytesRewritten": size, "objectSize": size})

    def _compose(self, request: Request, bucket: str, name: str) -> Reply:
        self._check(request, bucket, name)
        asked, objects = json.loads(request.body), self._objects(bucket)
        sources = []
        for wanted in asked["sourceObjects"]:
            found = objects.get(wanted["name"])
            if not found or str(wanted.get("generation", found.generation)) != str(
                found.generation
            ):
                raise _RefusedError(404, f"No such object: {bucket}/{wanted['name']}", "notFound")
            sources.append(found)
        fields = _settable(asked.get("destination", {}))
        stored = self.put(bucket, name, b"".join(s.content for s in sources), **fields)
        objects[name] = replace(stored, components=sum(max(s.components, 1) for s in sources))
        return json_reply(objects[name].resource(self.url))

    def _upload(self, request: Request, bucket: str) -> Reply:
        kind, name = request.query["uploadType"], request.query.get("name", "")
        if kind == "media":
            fields = {"contentType": request.headers.get("Content-Type")}
            return json_reply(
                self._store(request, bucket, name, request.body, fields).resource(self.url)
            )
        if kind == "multipart":
            described, content = _parts(request)
            name = name or described.get("name", "")
            return json_reply(
                self._store(request, bucket, name, content, described).resource(self.url)
            )
        self._check(request, bucket, name or json.loads(request.body)["name"])
        number = f"upload{next(self._numbers)}"
        self._uploads[number] = _Upload(bucket, request)
        query = f"uploadType=resumable&upload_id={number}"
        address = f"http://{request.headers['Host']}{request.path}?{query}"
        return Reply(200, b"", {"Location": address, "X-GUploader-UploadID": number})

    def _resume(self, request: Request) -> Reply:
        """A piece of a resumable upload, or a query of how much has arrived."""
        upload = self._uploads.get(request.query["upload_id"])
        if not upload:
            raise _missing("the upload session")
        if upload.stored:
            return json_reply(upload.stored.resource(self.url))
        asked = request.headers.get("Content-Range", f"bytes 0-/{len(request.body)}")
        span = re.fullmatch(r"bytes (?:\*|(\d+)-\d*)/(\*|\d+)", asked)
        if not span:
            raise _wrong(f"Content-Range: {asked}")
        total = None if span[2] == "*" else int(span[2])
        if span[1] is not None:
            self._append(upload, int(span[1]), request.body, total)
        if total is None or len(upload.content) < total:
            arrived = len(upload.content)
            return Reply(308, b"", {"Range": f"bytes=0-{arrived - 1}"} if arrived else {})
        described = json.loads(upload.start.body or b"{}")
        described.setdefault("contentType", upload.start.headers.get("X-Upload-Content-Type"))
        name = upload.start.query.get("name") or described["name"]
        described |= _promised(request)
        content = bytes(upload.content)
        upload.stored = self._store(upload.start, upload.bucket, name, content, described)
        return json_reply(upload.stored.resource(self.url))

    @staticmethod
    def _append(upload: _Upload, first: int, body: bytes, total: int | None) -> None:
        arrived = len(upload.content)
        if first > arrived:
            raise _wrong(f"{arrived} bytes have arrived, not {first}")
        if total is None and len(body) % _CHUNK:
            raise _wrong(f"a piece that is not the last one is a multiple of {_CHUNK} bytes")
        upload.content += body[arrived - first :]

    def _store(
        self,
        request: Request,
        bucket: str,
        name: str,
        content: bytes,
        described: Mapping[str, Any],
    ) -> StoredObject:
        """:raises _RefusedError: 400, the content does not match its hashes"""
        if not name:
            raise _RefusedError(400, "Required object name", "required")
        self._check(request, bucket, name)
        promised = {**described, **_promised(request)}
        found = StoredObject(bucket, name, content, 0, datetime.now(UTC)).hashes
        for key in found.keys() & promised.keys():
            if promised[key] != found[key]:
                raise _wrong(f"Provided {key} {promised[key]} is not the calculated {found[key]}")
        return self.put(bucket, name, content, **_settable(described))


def _bucket(name: str) -> dict[str, Any]:
    return {
        "kind": "storage#bucket",
        "id": name,
        "name": name,
        "projectNumber": "1",
        "metageneration": "1",
        "etag": "1",
        "location": "US",
        "locationType": "multi-region",
        "storageClass": "STANDARD",
        "timeCreated": "2026-01-01T00:00:00.000Z",
        "updated": "2026-01-01T00:00:00.000Z",
    }


def _settable(described: Mapping[str, Any]) -> dict[str, Any]:
    return {key: described[key] for key in _SETTABLE if described.get(key)}


def _promised(request: Request) -> dict[str, str]:
    """The hashes of a header ``x-goog-hash: crc32c=...,md5=...``, by their names in a resource."""
    pairs = re.findall(r"(crc32c|md5)=([A-Za-z0-9+/]+=*)", request.headers.get("x-goog-hash", ""))
    return {{"md5": "md5Hash"}.get(key, key): value for key, value in pairs}


def _parts(request: Request) -> tuple[dict[str, Any], bytes]:
    """The resource and the content of a multipart upload."""
    found = re.search("boundary=[\"']?([^\"';]+)", request.headers["Content-Type"])
    if not found:
        raise _wrong("a multipart upload without a boundary")
    boundary = b"--" + found[1].encode()
    described, media = (
        re.split(rb"\r?\n\r?\n", part, maxsplit=1) for part in request.body.split(boundary)[1:3]
    )
    fields = json.loads(described[1])
    if kind := re.search(rb"(?i)content-type:\s*(\S+)", media[0]):
        fields.setdefault("contentType", kind[1].decode())
    return fields, re.sub(rb"\r?\n\Z", b"", media[1])


@contextmanager
def gcs_server(*buckets: str, port: int = 0) -> Iterator[Gcs]:
    """The service on loopback for the duration of the block, at ``url``."""
    gcs = Gcs(*buckets)
    with serve(gcs, gcs.faults, port) as gcs.url:
        yield gcs
