"""Adapters as the engine gets them and as it keeps them: the delta, and the embeddings of the adapter's own classes."""

from __future__ import annotations

from dataclasses import dataclass

from saft_core.clip.flat import FlatParameters
from saft_core.clip.zero_shot import fill
from saft_core.delta import SparseDelta, decode
from saft_core.delta.class_embeddings import ClassEmbeddings, decode_class_embeddings
from saft_core.sparse.loaded_delta import LoadedDelta, load_delta

ModelKey = tuple[str | None, float]
"""Which model answers: an adapter's id, None for the base, and the strength."""
BASE: ModelKey = (None, 1.0)


@dataclass(frozen=True, eq=False)
class StoredAdapter:
    """An adapter as decoded from what is stored. class_embeddings: None where none are stored."""

    delta: SparseDelta
    class_embeddings: ClassEmbeddings | None = None


@dataclass(frozen=True, eq=False)
class LoadedAdapter:
    """An adapter as it stays in memory between requests."""

    delta: LoadedDelta
    class_embeddings: ClassEmbeddings | None

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.delta.nbytes + (self.class_embeddings.nbytes if self.class_embeddings else 0)


def read_adapter(container: bytes, class_embeddings: bytes | None, *, max_bytes: int) -> StoredAdapter:
    """Decode a container, of `max_bytes` at most, and the class embeddings stored with it, if there are any.

    Class embeddings of another container, or of other prompts than this release makes, are left out.

    Raises TooLarge and InvalidDelta as `decode` does.
    """
    delta, header = decode(container, max_bytes=max_bytes)
    if class_embeddings is None:
        return StoredAdapter(delta)
    labels, template = header.classes, header.template
    found = decode_class_embeddings(class_embeddings, container, fill(template, labels), labels, template)
    return StoredAdapter(delta, found)


def load_adapter(stored: StoredAdapter, flat: FlatParameters) -> LoadedAdapter:
    """Move the delta to where `flat` lives. Raises InvalidDelta when it reaches beyond the base."""
    return LoadedAdapter(load_delta(stored.delta, flat), stored.class_embeddings)
