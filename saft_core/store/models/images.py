"""Image files, of which each tenant has one copy, with the claims of uploads and their embeddings (pgvector)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from saft_core.store.models.base import Owned


class Image(Owned):
    """An image file, of which a tenant has one copy however many datasets and collections refer to it.

    The row is committed before the file is written and deleted after the file, so no file is without a row
    (saft_core/store/images.py). The next version makes `size_bytes` NOT NULL.
    """

    __tablename__ = "images"
    __table_args__ = (
        Index(
            "ix_images_kept",
            "tenant_id",
            postgresql_include=["size_bytes"],
            postgresql_where=text("kept_at IS NOT NULL"),
        ),
    )

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    media_type: Mapped[str]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)  # null until a file of the version before is adopted
    kept_at: Mapped[datetime | None]  # when a dataset or collection first referred to it; counts for the quotas then


def image_foreign_key() -> ForeignKeyConstraint:
    """The foreign key to an image; the row is deleted with the image."""
    return ForeignKeyConstraint(["tenant_id", "sha256"], ["images.tenant_id", "images.sha256"], ondelete="CASCADE")


class ImageClaim(Owned):
    """A claim of an upload under way on an image: as long as the row exists, the image is not removed."""

    __tablename__ = "image_claims"
    __table_args__ = (image_foreign_key(), Index("ix_image_claims_created_at", "created_at"))

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(primary_key=True)


class Embedding(Owned):
    """The unit vector of an image under one adapter; `adapter_id` is null for the base itself."""

    __tablename__ = "embeddings"
    __table_args__ = (
        image_foreign_key(),
        UniqueConstraint(
            "tenant_id",
            "sha256",
            "base_fingerprint",
            "adapter_id",
            "strength",
            name="uq_embeddings_space",
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    tenant_id: Mapped[str] = mapped_column()
    sha256: Mapped[str]
    base_fingerprint: Mapped[str]
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), index=True)
    strength: Mapped[float] = mapped_column(default=1.0, server_default="1")
    embedding: Mapped[Any] = mapped_column(Vector())


class ImageEmbedding(Owned):
    """An embedding as the previous version reads and writes it. Nothing uses the table; the next version drops it."""

    __tablename__ = "image_embeddings"
    __table_args__ = (
        UniqueConstraint(
            "image_id",
            "base_fingerprint",
            "adapter_id",
            "strength",
            name="uq_image_embeddings_space",
            postgresql_nulls_not_distinct=True,
        ),
    )

    id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    image_id: Mapped[str] = mapped_column(ForeignKey("collection_images.id", ondelete="CASCADE"))
    base_fingerprint: Mapped[str]
    adapter_id: Mapped[str | None] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), index=True)
    strength: Mapped[float] = mapped_column(default=1.0, server_default="1")
    embedding: Mapped[Any] = mapped_column(Vector())


def unmeasured_index(table: str) -> Index:
    """The index of rows whose `size_bytes` is still null. The previous version reads it; the next version drops it."""
    return Index(f"ix_{table}_unmeasured", "id", postgresql_where=text("size_bytes IS NULL"))


def reference_indexes(table: str, manifest: str) -> tuple[Index, Index]:
    """The indexes that find the references to an image, and the rows that an earlier version wrote (adoption.py).

    The next version drops the second one, with the column `adopted`.
    """
    return (
        Index(f"ix_{table}_references", "tenant_id", "sha256"),
        Index(f"ix_{table}_unadopted", manifest, postgresql_where=text("NOT adopted")),
    )
