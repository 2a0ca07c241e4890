"""JSON from strangers: only what is asked for is kept in memory, and nesting ends in an error."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec

from saft_core.data.label_formats.labels_files import Malformed

Wanted = TypeVar("Wanted")
Key = Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)] | str
"""An id; 7 and "7" are the same to those who write such files."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class OtherShape(Malformed):
    """It is JSON, but not of the wanted shape."""


def decode(data: bytes, wanted: type[Wanted], where: str = "") -> Wanted:
    """The value of a JSON text; fields that `wanted` does not have are passed over.

    Raises Malformed, OtherShape among them, and RecursionError where it is nested too deeply.
    """
    try:
        return msgspec.json.decode(memoryview(data)[3 * data.startswith(_BYTE_ORDER_MARK) :], type=wanted)
    except msgspec.ValidationError as error:
        raise OtherShape(f"{where}{error}.") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Malformed(f"{where}{error}.") from error
