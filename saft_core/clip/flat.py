"""One flat buffer: every parameter of a model as a view of one contiguous 1-D tensor.

The order is that of `model.named_parameters()`, which is the order of definition and is part of the delta format: a
parameter entry has one flat index, the same on every machine that builds the same model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

IndexArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Slot:
    """Where one parameter lies: entries `offset` to `offset + size` of the buffer, in row-major order."""

    name: str
    offset: int
    size: int
    shape: tuple[int, ...]

    @property
    def block(self) -> str:
        """The name cut behind its first number (`visual.transformer.resblocks.3`), or the owning module."""
        parts = self.name.split(".")
        numbered = next((position for position, part in enumerate(parts) if part.isdigit()), None)
        if numbered is not None:
            return ".".join(parts[: numbered + 1])
        return ".".join(parts[:-1]) or self.name


def tower_of(parameter_name: str) -> Literal["image", "text", "neither"]:
    """The image tower is what open_clip calls `visual`, the text tower all the rest but the logit scale and bias."""
    if parameter_name.startswith("visual."):
        return "image"
    return "neither" if parameter_name.startswith("logit_") else "text"


class FlatParameters:
    """The parameters of `model`, moved into one buffer of shape (D,), dtype float32 (or the model's own).

    Shared (tied) parameters appear once. The model keeps working as before: its parameters are views.
    """

    def __init__(self, model: nn.Module) -> None:
        parameters = dict(model.named_parameters())
        dtypes = {parameter.dtype for parameter in parameters.values()}
        if len(dtypes) != 1:
            raise ValueError(f"all parameters must have one dtype, found {sorted(map(str, dtypes))}")
        self.slots = tuple(_lay_out(parameters))
        self.buffer = torch.cat([parameter.detach().reshape(-1) for parameter in parameters.values()])
        self._parameters = parameters
        self.number_of = {id(parameters[slot.name]): number for number, slot in enumerate(self.slots)}
        """Position in `slots` of each of the model's parameters, by the identity of the tensor."""
        for slot, view in self._views(self.buffer):
            parameters[slot.name].data = view

    def __len__(self) -> int:
        return self.buffer.numel()

    def parameter(self, slot: Slot) -> nn.Parameter:
        """The model's parameter that lies in `slot`."""
        return self._parameters[slot.name]

    def model_parameters(self) -> list[nn.Parameter]:
        """All of the model's parameters, in the order of `slots`."""
        return list(self._parameters.values())

    def _views(self, flat: Tensor) -> Iterator[tuple[Slot, Tensor]]:
        for slot in self.slots:
            yield slot, flat[slot.offset : slot.offset + slot.size].view(slot.shape)

    @contextmanager
    def gradient(self) -> Iterator[Tensor]:
        """A zeroed flat gradient of shape (D,) that `backward()` adds into while the context is open."""
        flat = torch.zeros_like(self.buffer)
        for slot, view in self._views(flat):
            self._parameters[slot.name].grad = view
        try:
            yield flat
        finally:
            for parameter in self._parameters.values():
                parameter.grad = None

    @contextmanager
    def trainable(self, mask_of_slots: npt.NDArray[np.bool_]) -> Iterator[None]:
        """Within the context only the marked slots need a gradient, so autograd skips the others' weight gradients."""
        parameters = [self._parameters[slot.name] for slot in self.slots]
        before = [parameter.requires_grad for parameter in parameters]
        for parameter, wanted in zip(parameters, mask_of_slots, strict=True):
            parameter.requires_grad_(bool(wanted))
        try:
            yield
        finally:
            for parameter, wanted in zip(parameters, before, strict=True):
                parameter.requires_grad_(wanted)

    @contextmanager
    def added(self, indices: Tensor, differences: Tensor) -> Iterator[None]:
        """Add `differences` (K,) at the flat `indices` (K,) within the context; bit-identical to before after it.

        Reverting copies the saved originals back. It never subtracts: subtraction would drift.
        """
        originals = self.buffer[indices]
        self.write(indices, originals + differences)
        try:
            yield
        finally:
            self.write(indices, originals)

    @torch.no_grad()
    def write(self, indices: Tensor, values: Tensor) -> None:
        """Set the entries at `indices` (K,) to `values` (K,)."""
        self.buffer.index_copy_(0, indices, values)

    def slots_of(self, indices: IndexArray) -> npt.NDArray[np.int64]:
        """Position in `slots` for each flat index; both of shape (K,)."""
        offsets = np.array([slot.offset for slot in self.slots])
        return np.searchsorted(offsets, indices, side="right") - 1

    def changes_images(self, indices: IndexArray) -> bool:
        """Whether an entry of the image tower is among `indices` (K,): whether images get other embeddings."""
        return any(tower_of(self.slots[slot].name) == "image" for slot in np.unique(self.slots_of(indices)))

    def count_by_block(self, indices: IndexArray) -> list[dict[str, Any]]:
        """How many entries each block has and how many of them are in `indices`, in model order."""
        selected = np.bincount(self.slots_of(indices), minlength=len(self.slots))
        blocks: dict[str, dict[str, Any]] = {}
        for slot, count in zip(self.slots, selected.tolist(), strict=True):
            row = blocks.setdefault(slot.block, {"block": slot.block, "parameters": 0, "selected": 0})
            row["parameters"] += slot.size
            row["selected"] += count
        return list(blocks.values())

    def sha256(self) -> str:
        """Digest of names, shapes and bytes, in order: equal exactly when every parameter is bit-identical.

        It is a digest of each parameter's digest, so that all cores work on it: ViT-B/32 is 600 MB.
        """
        entries = self.buffer.detach().cpu().numpy()

        def of_slot(slot: Slot) -> str:
            values = entries[slot.offset : slot.offset + slot.size]
            return f"{slot.name}{list(slot.shape)}:{hashlib.sha256(values.data).hexdigest()};"

        with ThreadPoolExecutor() as pool:
            return hashlib.sha256("".join(pool.map(of_slot, self.slots)).encode()).hexdigest()


def _lay_out(parameters: dict[str, nn.Parameter]) -> Iterator[Slot]:
    offset = 0
    for name, parameter in parameters.items():
        yield Slot(name, offset, parameter.numel(), tuple(parameter.shape))
        offset += parameter.numel()
