"""Merged weights as a safetensors file, written a piece at a time: memory stays small whatever the base's size."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

from saft_core.clip.backbone import Base
from saft_core.clip.flat import Slot
from saft_core.delta import SparseDelta
from saft_core.errors import ExportUnsupported

ENTRIES_AT_ONCE = 4 << 20
"""16 MiB: whoever is asked for so many entries of a base in use keeps others waiting for some milliseconds."""
FLOAT_BYTES = 4
_LENGTH = struct.Struct("<Q")

Read = Callable[[int, int], Tensor]
"""The base's own entries from one index up to another, float32 on the CPU; the receiver may write into them."""


@dataclass(frozen=True, eq=False)
class Merged:
    """A base's weights with an adapter's, as float32.

    read: where the base's come from. strength: in [0, 1], scales the delta; 0 is the base, bit by bit.
    """

    base: Base
    read: Read
    delta: SparseDelta
    strength: float

    def entries(self, start: int, stop: int) -> Tensor:
        """The merged entries `start` to `stop`, by the sum that the service writes into its own base."""
        entries = self.read(start, stop)
        if self.strength == 0:
            return entries
        first, last = np.searchsorted(self.delta.indices, [start, stop])
        places = torch.from_numpy(self.delta.indices[first:last] - start)
        values = torch.from_numpy(self.delta.values[first:last])
        entries[places] += values if self.strength == 1 else values * self.strength
        return entries

    def pieces(self, slot: Slot | None = None) -> Iterator[memoryview]:
        """The bytes of one parameter, or of all in order."""
        begin, end = (0, len(self.base.flat)) if slot is None else (slot.offset, slot.offset + slot.size)
        for start in range(begin, end, ENTRIES_AT_ONCE):
            yield self.entries(start, min(start + ENTRIES_AT_ONCE, end)).numpy().data.cast("B")


def write_weights(file: IO[bytes], merged: Merged) -> None:
    """Write the state dict of the merged model into `file`.

    The parameters lie in the order of the flat buffer; behind them the model's buffers, which are the base's, and
    parameters that go by a second name, once more: the format has no two names for one.

    Raises ExportUnsupported unless the base is float32.
    """
    flat = merged.base.flat
    if flat.buffer.dtype != torch.float32:
        raise ExportUnsupported(f"the base is {flat.buffer.dtype}, and only float32 is exported")
    buffers, again = _others(merged.base)
    stored = safetensors.torch.save(buffers)
    (length,) = _LENGTH.unpack_from(stored)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for slot in flat.slots:
        header[slot.name], end = _float_entry(slot, end)
    for name, entry in json.loads(stored[_LENGTH.size : _LENGTH.size + length]).items():
        header[name] = entry | {"data_offsets": [end + offset for offset in entry["data_offsets"]]}
    end += len(stored) - _LENGTH.size - length
    for name, slot in again.items():
        header[name], end = _float_entry(slot, end)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % _LENGTH.size)
    file.write(_LENGTH.pack(len(text)) + text)
    _write(file, merged.pieces())
    file.write(memoryview(stored)[_LENGTH.size + length :])
    for slot in again.values():
        _write(file, merged.pieces(slot))


def weights_bytes(base: Base) -> int:
    """About how large the file becomes."""
    others = sum(buffer.nbytes for buffer in base.model.buffers())
    return len(base.flat) * FLOAT_BYTES + others


def _others(base: Base) -> tuple[dict[str, Tensor], dict[str, Slot]]:
    """What the state dict holds beside the parameters: buffers, and second names with the parameter they stand for.

    No value of a parameter is read here: it might be an adapter's at the moment.
    """
    buffers, again = {}, {}
    for name, tensor in base.model.state_dict(keep_vars=True).items():
        number = base.flat.number_of.get(id(tensor))
        if number is None:
            buffers[name] = tensor.detach().cpu().contiguous()
        elif (slot := base.flat.slots[number]).name != name:
            again[name] = slot
    return buffers, again


def _float_entry(slot: Slot, start: int) -> tuple[dict[str, Any], int]:
    end = start + slot.size * FLOAT_BYTES
    return {"dtype": "F32", "shape": list(slot.shape), "data_offsets": [start, end]}, end


def _write(file: IO[bytes], pieces: Iterator[memoryview]) -> None:
    for piece in pieces:
        file.write(piece)
