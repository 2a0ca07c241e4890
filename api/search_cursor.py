"""The pagination cursor of POST /retrieve.

It holds the query's vector, since a model that runs in other batches gives another last digit, and a page has to go on
in exactly the order of the one before. Nothing in it is secret or trusted: a forged one
searches the forger's own images.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import numpy.typing as npt

from saft_core.errors import InvalidCursor
from saft_core.store.search import Place

MAX_CURSOR_CHARACTERS = 1 << 15
"""Enough for embeddings of 6,000 numbers."""
DIGEST_BYTES = 16
_HEAD = struct.Struct(f"<{DIGEST_BYTES}sqdB")  # digest, microseconds since 1970, distance, bytes of the id
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class SearchCursor:
    """The end of a page. digest: of the search; vector: its query, float32 (dim,)."""

    digest: bytes
    place: Place
    vector: npt.NDArray[np.float32]

    def encode(self) -> str:
        """The text that a caller sends back: base64url of head, image id and vector, little-endian."""
        image_id, microseconds = self.place.image_id.encode(), (self.place.as_of - _EPOCH) // _MICROSECOND
        head = _HEAD.pack(self.digest, microseconds, self.place.distance, len(image_id))
        return base64.urlsafe_b64encode(head + image_id + self.vector.astype("<f4").tobytes()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str, digest: bytes, dim: int) -> SearchCursor:
        """Read a cursor of the search with this digest. Raises InvalidCursor."""
        try:
            found = cls._read(text, dim)
        except (ValueError, OverflowError, struct.error, binascii.Error) as error:
            raise InvalidCursor("cursor: this is none of ours; start again without one") from error
        if found.digest != digest:
            raise InvalidCursor(
                "cursor: it belongs to another search; send the same fields again, of which top_k alone may change, or"
                " start again without a cursor (an adapter of this name may be a new one)"
            )
        return found

    @classmethod
    def _read(cls, text: str, dim: int) -> SearchCursor:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        digest, microseconds, distance, id_bytes = _HEAD.unpack_from(data)
        image_id = data[_HEAD.size : _HEAD.size + id_bytes].decode()
        vector = np.frombuffer(data[_HEAD.size + id_bytes :], dtype="<f4").astype(np.float32)
        usable = vector.shape == (dim,) and 0 < float(np.linalg.norm(vector)) < math.inf
        if not (usable and math.isfinite(distance) and "\0" not in image_id):
            raise ValueError("no cursor has such content")
        return cls(digest, Place(_EPOCH + microseconds * _MICROSECOND, distance, image_id), vector)
