"""Deltas: the sparse numbers of an adapter and the container they travel in."""

from saft_core.delta.codec import decode, encode
from saft_core.delta.header import DeltaHeader
from saft_core.delta.sparse import SparseDelta

__all__ = ["DeltaHeader", "SparseDelta", "decode", "encode"]
