"""Labelled datasets and collections of searchable images: both refer to the tenant's images."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from saft_core.store.blobs import ImageFile
from saft_core.store.models.base import Owned, listed_index, new_id
from saft_core.store.models.images import reference_indexes, unmeasured_index


class Dataset(Owned):
    """An immutable labelled image set. The next version drops `size_bytes`."""

    __tablename__ = "datasets"
    __table_args__ = (listed_index("datasets"), unmeasured_index("datasets"))

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ds"))
    name: Mapped[str]
    classes: Mapped[list[Any]]  # [{"name", "count"}], sorted by name: the order is the label index
    rejected: Mapped[list[Any]]  # [{"path", "code", "reason"}]
    image_count: Mapped[int]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of its files, for the version before
    revision_of: Mapped[str | None]  # the dataset that it was made of; that one may be gone


class DatasetImage(Owned):
    """One labelled image of a dataset. The next version drops `adopted`."""

    __tablename__ = "dataset_images"
    __table_args__ = reference_indexes("dataset_images", "dataset_id")

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str]
    media_type: Mapped[str]
    adopted: Mapped[bool] = mapped_column(default=True, server_default=false())  # its file is in the tenant's folder

    @property
    def file(self) -> ImageFile:
        """Where the bytes are in the blob store."""
        return ImageFile(self.tenant_id, self.sha256, self.dataset_id)


class Collection(Owned):
    """A tenant's searchable images."""

    __tablename__ = "collections"
    __table_args__ = (listed_index("collections"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("col"))
    name: Mapped[str]


class CollectionImage(Owned):
    """One searchable image of a collection. The next version drops `size_bytes` and `adopted`."""

    __tablename__ = "collection_images"
    __table_args__ = (
        UniqueConstraint("collection_id", "sha256"),
        listed_index("collection_images", "collection_id"),
        Index(
            "ix_collection_images_metadata",
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
        ),
        unmeasured_index("collection_images"),
        *reference_indexes("collection_images", "collection_id"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("img"))
    collection_id: Mapped[str] = mapped_column(ForeignKey("collections.id", ondelete="CASCADE"))
    filename: Mapped[str]
    sha256: Mapped[str]
    media_type: Mapped[str]
    user_metadata: Mapped[dict[str, Any]] = mapped_column("metadata", default=dict, server_default="{}")
    """What the tenant says of it, under a name that SQLAlchemy does not use itself."""
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of its file, for the version before
    adopted: Mapped[bool] = mapped_column(default=True, server_default=false())  # its file is in the tenant's folder

    @property
    def file(self) -> ImageFile:
        """Where the bytes are in the blob store."""
        return ImageFile(self.tenant_id, self.sha256, self.collection_id)
