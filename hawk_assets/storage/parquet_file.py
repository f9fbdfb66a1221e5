"""One Parquet file as bytes: what it says of itself, and a digest that shows any damage.

Parquet's own checksums cover its pages. A flipped bit in the footer renames a column or changes a
number of rows, and no reader notices. So the footer carries a digest of the whole file.
"""

import json
from collections.abc import Mapping
from hashlib import blake2b

import pyarrow as pa
import pyarrow.parquet as pq

from hawk_assets.core.errors import DamagedFileError

_ABOUT, _DIGEST = "hawk_about", "hawk_digest"
_UNSIGNED = b"0" * 32
# How the footer stores the key, then the type and the length of the value.
_BEFORE_DIGEST = _DIGEST.encode() + bytes([0x18, len(_UNSIGNED)])


def encode(table: pa.Table, about: Mapping[str, str]) -> tuple[bytes, str]:
    """A table as a Parquet file, and its digest.

    :param about: what the file says of itself, such as the run that wrote it
    """
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(
        sink,
        table.schema,
        compression="snappy",
        use_dictionary=[f.name for f in table.schema if pa.types.is_string(f.type)],
        write_statistics=False,
        write_page_checksum=True,
    ) as writer:
        writer.write_table(table)
        writer.add_key_value_metadata({_ABOUT: json.dumps(dict(about)), _DIGEST: _UNSIGNED})
    content = sink.getvalue().to_pybytes()
    start = content.rindex(_BEFORE_DIGEST) + len(_BEFORE_DIGEST)
    digest = _compute_digest(content, start)
    return content[:start] + digest + content[start + len(_UNSIGNED) :], digest.decode()


def open_file(content: bytes) -> pq.ParquetFile:
    """The file, if it is intact.

    :raises DamagedFileError: the digest is not that of the content
    :raises pa.ArrowException, OSError: not a Parquet file
    """
    read_digest(content)
    return pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True)


def read_digest(content: bytes) -> str:
    """The digest of a file, 32 hexadecimal digits; empty for a file by an older release.

    :raises DamagedFileError: the digest is not that of the content
    """
    before = content.rfind(_BEFORE_DIGEST)
    if before < 0:
        # One damaged byte cannot hide both names.
        if _DIGEST.encode() in content or _ABOUT.encode() in content:
            raise DamagedFileError("its digest is damaged")
        return ""
    start = before + len(_BEFORE_DIGEST)
    digest = content[start : start + len(_UNSIGNED)]
    if digest != _compute_digest(content, start):
        raise DamagedFileError("its content does not match its digest")
    return digest.decode()


def read_about(content: bytes) -> dict[str, str]:
    """What a file says of itself; empty for a file by an older release.

    :raises DamagedFileError, pa.ArrowException, OSError: as ``open_file`` does
    """
    metadata = open_file(content).metadata.metadata or {}
    about: dict[str, str] = json.loads(metadata.get(_ABOUT.encode(), b"{}"))
    return about


def _compute_digest(content: bytes, start: int) -> bytes:
    """The digest of a file whose digest begins at ``start``, as if that were all zeros."""
    whole = memoryview(content)
    digest = blake2b(whole[:start], digest_size=len(_UNSIGNED) // 2)
    digest.update(_UNSIGNED)
    digest.update(whole[start + len(_UNSIGNED) :])
    return digest.hexdigest().encode()
