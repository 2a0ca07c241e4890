"""Stored embeddings of a tenant's images under each adapter (pgvector): one for each image and adapter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sqlalchemy import ColumnElement, and_, delete, exists, func, select
from sqlalchemy.dialects.postgresql import insert

from saft_core.store.database import among
from saft_core.store.members import Member, Members
from saft_core.store.models import Embedding, Image
from saft_core.store.scope import Scope


@dataclass(frozen=True)
class EmbeddingSpace:
    """The embedding space of one model: a base, the adapter on it (None for the base alone), and its strength."""

    base_fingerprint: str
    adapter_id: str | None
    strength: float = 1.0

    @classmethod
    def of(cls, base_fingerprint: str, adapter_id: str | None, strength: float) -> EmbeddingSpace:
        """The space of an adapter at `strength`; at 0 it is the space of the base."""
        if adapter_id is None or strength == 0:
            return cls(base_fingerprint, None)
        return cls(base_fingerprint, adapter_id, strength)

    def contains(self) -> ColumnElement[bool]:
        """The SQL condition that a row of `embeddings` lies in this space."""
        adapter_id = Embedding.adapter_id  # IS NOT DISTINCT FROM would be shorter, but no index serves it
        return and_(
            Embedding.base_fingerprint == self.base_fingerprint,
            adapter_id.is_(None) if self.adapter_id is None else adapter_id == self.adapter_id,
            Embedding.strength == self.strength,
        )


def missing(scope: Scope, members: Members, space: EmbeddingSpace) -> list[Member]:
    """Those of `members` that have no embedding in `space` yet."""
    # Not NOT IN: once the tenant's embeddings do not fit work_mem, it goes through all of them for each image.
    of_image = Embedding.sha256 == members.kind.model.sha256
    return members.where(scope, ~exists().where(of_image, scope.owns(Embedding), space.contains()))


def add(scope: Scope, space: EmbeddingSpace, embeddings: Iterable[tuple[str, Any]]) -> None:
    """Store embeddings, as (SHA-256 of the image, unit vector of float32) pairs.

    A pair that a concurrent request stored first is skipped, and so is one whose image was deleted in the meantime.
    """
    vectors = dict(embeddings)
    # Ordered, so that concurrent requests lock and write in one order and cannot deadlock.
    query = select(Image.sha256).where(scope.owns(Image), among(Image.sha256, list(vectors))).order_by(Image.sha256)
    present = scope.session.scalars(query.with_for_update(read=True, key_share=True)).all()
    if present:
        rows = [
            {
                "tenant_id": scope.tenant_id,
                "sha256": sha256,
                "base_fingerprint": space.base_fingerprint,
                "adapter_id": space.adapter_id,
                "strength": space.strength,
                "embedding": vectors[sha256],
            }
            for sha256 in present
        ]
        scope.session.execute(insert(Embedding).values(rows).on_conflict_do_nothing())


def drop_oldest(scope: Scope, members: Members, space: EmbeddingSpace, limit: int, kept: Sequence[float]) -> None:
    """Delete the embeddings of the oldest strengths of an adapter, so that at most `limit` strengths remain.

    members: the images of the collection or dataset. space: its strength counts and is kept. kept: strengths that
    neither count nor are deleted.
    """
    others = (
        scope.owns(Embedding),
        Embedding.adapter_id == space.adapter_id,
        Embedding.strength.not_in([*kept, space.strength]),
        Embedding.sha256.in_(select(members.kind.model.sha256).where(*members.within(scope))),
    )
    newest_first = (
        select(Embedding.strength).where(*others).group_by(Embedding.strength).order_by(func.max(Embedding.id).desc())
    )
    if dropped := scope.session.scalars(newest_first.offset(limit - 1)).all():
        scope.session.execute(delete(Embedding).where(*others, Embedding.strength.in_(dropped)))


def get(scope: Scope, sha256: str, space: EmbeddingSpace) -> npt.NDArray[np.float32] | None:
    """The embedding of one image in `space`, a unit vector (embed_dim,) of float32; None if it is not stored."""
    query = select(Embedding.embedding).where(scope.owns(Embedding), Embedding.sha256 == sha256, space.contains())
    found = scope.session.scalar(query)
    return None if found is None else np.asarray(found, dtype=np.float32)
