"""The delta container, version 1. docs/delta-format.md specifies it byte by byte; the two must change together.

    offset  size  field
    0       8     magic "SAFTDLT1"
    8       4     H, header length in bytes, unsigned little-endian
    12      H     header: one JSON object in UTF-8
    12+H    4*K   index gaps, uint32 little-endian: the first index, then each index minus the one before
    ...     2*K   values, float16 little-endian, to be multiplied by the header's `scale`
    end-32  32    SHA-256 of everything before it

K is the header's `nnz`. Every length is checked against the data before anything is allocated for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from saft_core.delta.sparse import SparseDelta
from saft_core.errors import InvalidDelta, TooLarge

MAGIC = b"SAFTDLT1"
MAX_HEADER_BYTES = 4 << 20
MAX_SCALE = float(np.finfo(np.float32).max)
_PREFIX = struct.Struct("<8sI")
_DIGEST_BYTES = 32
_ENTRY_BYTES = 4 + 2


@dataclass(frozen=True)
class DeltaHeader:
    """What a delta must carry to be used far from the database it was made in."""

    base_fingerprint: str
    base_name: str
    parameter_count: int
    density: float
    template: str
    classes: tuple[str, ...]
    metrics: dict[str, Any] = field(default_factory=dict)


def encode(delta: SparseDelta, header: DeltaHeader) -> bytes:
    """Pack `delta` into a container. Values are rounded to 16 bits: decode what you evaluate.

    Raises InvalidDelta when an index does not fit the header's parameter count or a gap does not fit 32 bits.
    """
    _check_range(delta, header.parameter_count)
    gaps = np.diff(delta.indices, prepend=0)
    if len(gaps) and gaps.max() > np.iinfo(np.uint32).max:
        raise InvalidDelta("two neighbouring indices are more than 2**32 apart")
    scale = float(np.abs(delta.values).max(initial=0.0)) or 1.0
    fields = asdict(header) | {"nnz": len(delta), "scale": scale, "value_dtype": "float16"}
    text = json.dumps(fields, ensure_ascii=False, sort_keys=True, allow_nan=False).encode()
    body = b"".join(
        [
            _PREFIX.pack(MAGIC, len(text)),
            text,
            gaps.astype("<u4").tobytes(),
            (delta.values.astype(np.float64) / scale).astype("<f2").tobytes(),
        ]
    )
    return body + hashlib.sha256(body).digest()


def decode(data: bytes, *, max_bytes: int) -> tuple[SparseDelta, DeltaHeader]:
    """Unpack a container.

    Raises TooLarge above `max_bytes`, and InvalidDelta for anything that `encode` would not have written.
    """
    if len(data) > max_bytes:
        raise TooLarge(f"the delta has {len(data)} bytes, the limit max_delta_bytes is {max_bytes}")
    fields, payload = _open(data)
    nnz, scale = _count(fields), _scale(fields)
    if len(payload) != nnz * _ENTRY_BYTES:
        raise InvalidDelta(f"the header announces {nnz} entries, the data holds {len(payload)} bytes for them")
    gaps = np.frombuffer(payload, "<u4", count=nnz).astype(np.int64)
    halves = np.frombuffer(payload, "<f2", count=nnz, offset=4 * nnz)
    delta = SparseDelta(np.cumsum(gaps), (halves.astype(np.float64) * scale).astype(np.float32))
    header = _header(fields)
    _check_range(delta, header.parameter_count)
    return delta, header


def _open(data: bytes) -> tuple[dict[str, Any], memoryview]:
    """Check magic, lengths and digest; return the header's fields and the bytes behind it."""
    view = memoryview(data)
    if len(view) < _PREFIX.size + _DIGEST_BYTES:
        raise InvalidDelta("the file is too short to be a delta")
    magic, header_bytes = _PREFIX.unpack_from(view)
    if magic != MAGIC:
        raise InvalidDelta("the file is not a delta: its first eight bytes are wrong")
    end = len(view) - _DIGEST_BYTES
    if header_bytes > min(MAX_HEADER_BYTES, end - _PREFIX.size):
        raise InvalidDelta("the header is longer than the file or than 4 MiB")
    if hashlib.sha256(view[:end]).digest() != view[end:]:
        raise InvalidDelta("the checksum does not match: the file is damaged or cut short")
    start = _PREFIX.size + header_bytes
    try:
        fields = json.loads(bytes(view[_PREFIX.size : start]))
    except (ValueError, RecursionError) as error:
        raise InvalidDelta("the header is not JSON") from error
    if not isinstance(fields, dict):
        raise InvalidDelta("the header is not a JSON object")
    return fields, view[start:end]


def _count(fields: dict[str, Any]) -> int:
    nnz = fields.get("nnz")
    if not isinstance(nnz, int) or isinstance(nnz, bool) or nnz < 0:
        raise InvalidDelta("header field 'nnz' must be a whole number")
    return nnz


def _scale(fields: dict[str, Any]) -> float:
    scale = fields.get("scale")
    if not isinstance(scale, float) or not math.isfinite(scale) or not 0 < scale <= MAX_SCALE:
        raise InvalidDelta("header field 'scale' must be a positive number")
    if fields.get("value_dtype") != "float16":
        raise InvalidDelta("header field 'value_dtype' must be 'float16'")
    return scale


_HEADER_TYPES: dict[str, type | tuple[type, ...]] = {
    "base_fingerprint": str,
    "base_name": str,
    "parameter_count": int,
    "density": (int, float),
    "template": str,
    "classes": list,
    "metrics": dict,
}


def _header(fields: dict[str, Any]) -> DeltaHeader:
    for name, kind in _HEADER_TYPES.items():
        if not isinstance(fields.get(name), kind) or isinstance(fields.get(name), bool):
            raise InvalidDelta(f"header field '{name}' is missing or of the wrong type")
    if not all(isinstance(label, str) for label in fields["classes"]):
        raise InvalidDelta("header field 'classes' must hold texts")
    kept = {name: fields[name] for name in _HEADER_TYPES}
    return DeltaHeader(**(kept | {"classes": tuple(fields["classes"])}))


def _check_range(delta: SparseDelta, parameter_count: int) -> None:
    if len(delta) and delta.indices[-1] >= parameter_count:
        raise InvalidDelta(f"index {delta.indices[-1]} lies outside the base's {parameter_count} parameters")
