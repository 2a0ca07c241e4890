"""The class embeddings that are stored with a version, so that its first request does not run the text tower."""

from __future__ import annotations

from collections.abc import Callable

from saft_core.clip.backbone import Base
from saft_core.clip.zero_shot import fill
from saft_core.delta import decode
from saft_core.delta.class_embeddings import FloatArray, encode_class_embeddings
from saft_core.tuning.predictions import merged, text_embeddings


def class_embeddings(
    base: Base, container: bytes, strength: float, between: Callable[[], None] = lambda: None
) -> bytes:
    """Unit embeddings of a version's classes in its template, encoded (saft_core/delta/class_embeddings.py).

    They are made at strength 1, at `strength`, the version's own, which requests without one use, and at 0, which is
    the base: by its embeddings a request for an adapter tells what shows none of the classes. The base is bit-identical
    afterwards.

    between: called before each strength; an exception that it raises ends the work.
    """
    delta, header = decode(container, max_bytes=len(container))
    labels, template = header.classes, header.template

    def embedded_at(one: float) -> FloatArray:
        between()
        with merged(base, delta, one):
            embeddings: FloatArray = text_embeddings(base, labels, template).numpy()
            return embeddings

    by_strength = {one: embedded_at(one) for one in sorted({0.0, strength, 1.0})}
    return encode_class_embeddings(container, fill(template, labels), by_strength)
