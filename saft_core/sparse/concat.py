"""Concatenation. In training it takes the dense gradients of its parameters."""

from __future__ import annotations

import torch
from torch import Tensor

from saft_core.sparse.call import Call, Signature, Unsupported
from saft_core.sparse.mixed_batch import MixedBatch

_CAT = Signature(tensors=Signature.REQUIRED, dim=0)


def mixed(batch: MixedBatch, call: Call) -> Tensor:
    """`torch.cat` of activations and of parameters that are expanded over the batch."""
    tensors, dim = _CAT.bind(call)
    parts = [batch.activations(tensor) for tensor in tensors]
    if dim in (0, -parts[0].dim()):
        raise Unsupported("a concatenation along the batch")
    return torch.cat(parts, dim)
