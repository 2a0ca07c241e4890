"""The tables. Each row that belongs to a tenant carries its `tenant_id`; `scope.py` is where it is checked.

Times are timezone-aware UTC, set by the database. Ids are a short prefix and 128 random bits (`new_id`).
"""

from __future__ import annotations

import secrets
from datetime import datetime
from enum import StrEnum
from typing import Any

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    MetaData,
    UniqueConstraint,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB, TIMESTAMP
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, query_expression

from saft_core.store.blobs import ImageFile
from saft_core.templates import Template, as_template, each


def new_id(prefix: str) -> str:
    """A fresh id such as `job_3f9c...`: the prefix says what it names, the rest cannot be guessed."""
    return f"{prefix}_{secrets.token_hex(16)}"


class Model(DeclarativeBase):
    """Common base: named constraints, JSON as JSONB, times with zone."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(column_0_N_label)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map = {  # noqa: RUF012 (SQLAlchemy reads it as it stands)
        dict[str, Any]: JSONB,
        list[Any]: JSONB,
        datetime: TIMESTAMP(timezone=True),
    }


class Tenant(Model):
    """Somebody who owns things. Keys are never stored, only their SHA-256."""

    __tablename__ = "tenants"
    __table_args__ = (
        Index("ix_tenants_listed", "created_at", "id"),
        Index("ix_tenants_deleted", "deleted_at", postgresql_where=text("deleted_at IS NOT NULL")),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ten"))
    name: Mapped[str]
    key_sha256: Mapped[str] = mapped_column(unique=True)  # of the first key, for versions that know one key a tenant
    quota: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # saft_core/quota.py
    deleted_at: Mapped[datetime | None]  # from then on no key opens anything, and the sweeper removes all there is
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Owned(Model):
    """A row of one tenant."""

    __abstract__ = True

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), index=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


def _listed(table: str, owner: str = "tenant_id") -> Index:
    """Serves a list of `owner`'s rows, newest first, from any place in it on."""
    return Index(f"ix_{table}_listed", owner, "created_at", "id")


class TenantKey(Owned):
    """One key of a tenant, as its SHA-256."""

    __tablename__ = "tenant_keys"
    __table_args__ = (_listed("tenant_keys"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("key"))
    name: Mapped[str]
    sha256: Mapped[str] = mapped_column(unique=True)
    last_used_at: Mapped[datetime | None]  # to about a minute


class AuditEvent(Owned):
    """What was done, by whose key, and when. Rows outlive what they tell of, so they refer to nothing."""

    __tablename__ = "audit_events"
    __table_args__ = (_listed("audit_events"), Index("ix_audit_events_created_at", "created_at"))

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ev"))
    tenant_id: Mapped[str] = mapped_column()
    key_id: Mapped[str | None]  # a key's id, or "admin"; null in what a job of a version before did
    action: Mapped[str]  # "dataset.created"
    subject_id: Mapped[str]
    details: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")


def _unmeasured(table: str) -> Index:
    """Finds the rows whose files the version before has not measured yet; the version after this one drops it."""
    return Index(f"ix_{table}_unmeasured", "id", postgresql_where=text("size_bytes IS NULL"))


class Image(Owned):
    """An image file that a tenant has once, however many datasets and collections it is in.

    Its row is there before its file, and goes after it: so no file is without a row (saft_core/store/images.py).
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


def _of_image() -> ForeignKeyConstraint:
    """What hangs on an image and goes with it."""
    return ForeignKeyConstraint(["tenant_id", "sha256"], ["images.tenant_id", "images.sha256"], ondelete="CASCADE")


class ImageClaim(Owned):
    """An upload under way that needs an image: while it is there, nobody removes the image."""

    __tablename__ = "image_claims"
    __table_args__ = (_of_image(), Index("ix_image_claims_created_at", "created_at"))

    tenant_id: Mapped[str] = mapped_column(primary_key=True)
    sha256: Mapped[str] = mapped_column(primary_key=True)
    upload_id: Mapped[str] = mapped_column(primary_key=True)


class Embedding(Owned):
    """The unit vector of an image under one adapter; `adapter_id` is null for the base itself."""

    __tablename__ = "embeddings"
    __table_args__ = (
        _of_image(),
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


def _references(table: str, manifest: str) -> tuple[Index, Index]:
    """Count who refers to an image, and find what a version before wrote."""
    return (
        Index(f"ix_{table}_references", "tenant_id", "sha256"),
        Index(f"ix_{table}_unadopted", manifest, postgresql_where=text("NOT adopted")),
    )


class Dataset(Owned):
    """An immutable labelled image set."""

    __tablename__ = "datasets"
    __table_args__ = (_listed("datasets"), _unmeasured("datasets"))

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ds"))
    name: Mapped[str]
    classes: Mapped[list[Any]]  # [{"name", "count"}], sorted by name: the order is the label index
    rejected: Mapped[list[Any]]  # [{"path", "code", "reason"}]
    image_count: Mapped[int]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)  # of its files, for the version before
    revision_of: Mapped[str | None]  # the dataset that it was made of; that one may be gone


class DatasetImage(Owned):
    """One labelled image of a dataset."""

    __tablename__ = "dataset_images"
    __table_args__ = _references("dataset_images", "dataset_id")

    dataset_id: Mapped[str] = mapped_column(ForeignKey("datasets.id", ondelete="CASCADE"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    label: Mapped[str]
    path: Mapped[str]
    sha256: Mapped[str]
    media_type: Mapped[str]
    adopted: Mapped[bool] = mapped_column(default=True, server_default=false())  # its file is in the tenant's folder

    @property
    def file(self) -> ImageFile:
        """Its file."""
        return ImageFile(self.tenant_id, self.sha256, self.dataset_id)


class JobStatus(StrEnum):
    """Where a job stands. The last three are final."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Whether the job has ended."""
        return self in (JobStatus.SUCCEEDED, JobStatus.FAILED, JobStatus.CANCELLED)


class Publish(StrEnum):
    """Whether the version that a job makes answers its name from then on."""

    AUTO = "auto"
    IF_BETTER = "if_better"
    MANUAL = "manual"


class Job(Owned):
    """One training, from request to result.

    A worker holds a job by a lease: it writes only while `lease_owner` is its own, and renews `lease_expires_at` while
    it lives. A job whose lease ran out is taken by another worker, so any number of deaths and duplicate messages end
    in one result.
    """

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_unfinished", "status", postgresql_where=text("status in ('queued', 'running')")),
        _listed("jobs"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("job"))
    name: Mapped[str]
    key_id: Mapped[str | None]  # of the key that ordered it, for the audit log
    dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"), index=True)
    test_dataset_id: Mapped[str | None] = mapped_column(ForeignKey("datasets.id", ondelete="SET NULL"), index=True)
    config: Mapped[dict[str, Any]]
    asked: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # of `config` what the caller gave
    publish: Mapped[str] = mapped_column(default=Publish.AUTO.value, server_default=Publish.AUTO.value)
    base_fingerprint: Mapped[str | None]  # the base it was ordered for; null in rows from before this was noted
    status: Mapped[str] = mapped_column(default=JobStatus.QUEUED.value)
    phase: Mapped[str] = mapped_column(default="queued")
    progress: Mapped[float] = mapped_column(default=0.0)
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    loss: Mapped[float | None]
    losses: Mapped[list[Any]] = mapped_column(default=list)  # [[step, loss]], thinned for the curve
    seconds: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))  # by phase, of all attempts
    eta_seconds: Mapped[float | None]
    metrics: Mapped[dict[str, Any] | None]  # of the base alone until the job has succeeded
    adapter_id: Mapped[str | None]
    error: Mapped[dict[str, Any] | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempt: Mapped[int] = mapped_column(default=0)
    lease_owner: Mapped[str | None]
    lease_expires_at: Mapped[datetime | None]
    published_at: Mapped[datetime | None]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    summary: Mapped[dict[str, Any] | None] = query_expression()  # of `metrics`, in lists (summary.py)

    @property
    def elapsed_seconds(self) -> float | None:
        """How long workers have been at it, all attempts together; None before one was."""
        return sum(self.seconds.values()) if self.seconds else None


class Adapter(Owned):
    """One version of what a tenant calls by name: the result of a job or an import.

    Each version has a row and an id. What it is called by is unique, so that one version at most answers a name, and a
    service of the version before, which knows no other column, finds that one.
    """

    __tablename__ = "adapters"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("job_id"),
        Index("uq_adapters_version", "tenant_id", text("coalesce(family, name)"), "version", unique=True),
        _listed("adapters"),
    )

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("ad"))
    called: Mapped[str] = mapped_column("name")  # its name where it is published, or else name@version
    _family: Mapped[str | None] = mapped_column("family")  # its name; null in rows of the version before
    version: Mapped[int] = mapped_column(default=1, server_default="1")
    job_id: Mapped[str | None] = mapped_column(ForeignKey("jobs.id", ondelete="SET NULL"))
    classes: Mapped[list[Any]]  # [name], in label order
    _template: Mapped[str] = mapped_column("template")  # of several the first, as the version before shows it
    _templates: Mapped[list[Any] | None] = mapped_column("templates", JSONB(none_as_null=True))  # null where it is one
    density: Mapped[float]
    nnz: Mapped[int]
    delta_bytes: Mapped[int] = mapped_column(BigInteger)
    strength: Mapped[float] = mapped_column(default=1.0, server_default="1")
    calibration: Mapped[dict[str, Any]] = mapped_column(default=dict, server_default="{}")  # saft_core/calibration.py
    base: Mapped[str]
    base_fingerprint: Mapped[str]
    metrics: Mapped[dict[str, Any]]
    blocks: Mapped[list[Any]]  # [{"block", "parameters", "selected"}]
    summary: Mapped[dict[str, Any] | None] = query_expression()  # of `metrics`, in lists (summary.py)

    @hybrid_property
    def name(self) -> str:
        """What all its versions are called."""
        return self._family or self.called

    @name.inplace.setter
    def _set_name(self, name: str) -> None:
        self._family = self.called = name

    @name.inplace.expression
    @classmethod
    def _name_in_sql(cls) -> ColumnElement[str]:
        return func.coalesce(cls._family, cls.called)

    @property
    def address(self) -> str:
        """What it is called by while another version answers its name."""
        return f"{self.name}@{self.version}"

    @hybrid_property
    def published(self) -> bool:
        """Whether it answers its name."""
        return self.called == self.name

    @property
    def template(self) -> Template:
        """The prompt, or the ensemble of prompts, that it was trained with."""
        return as_template(self._templates or self._template)

    @template.setter
    def template(self, template: Template) -> None:
        self._template = each(template)[0]
        self._templates = None if isinstance(template, str) else list(template)


class AdapterDelta(Owned):
    """The delta container of an adapter, in a table of its own so that a list of adapters never reads it."""

    __tablename__ = "adapter_deltas"

    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True)
    delta: Mapped[bytes | None] = mapped_column(LargeBinary)  # null until what the version before wrote is rewritten
    container: Mapped[bytes] = mapped_column(  # of the version before; the version after this one drops it
        LargeBinary,
        server_default=text("'a delta of version 3, which only a later release of the service reads'::bytea"),
        deferred=True,
    )


class AdapterAnswers(Owned):
    """What an adapter answers on the images of its training, by which versions are compared (saft_core/comparison.py).

    In a row of its own, so that nothing else reads it; it outlives the datasets.
    """

    __tablename__ = "adapter_answers"

    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True)
    answers: Mapped[list[Any]]  # [[sha256, split, label, prediction]]


class AdapterName(Owned):
    """How many versions a name has had: the number of one that was deleted is not given again."""

    __tablename__ = "adapter_names"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    versions: Mapped[int]


class AdapterMistake(Owned):
    """An image of a dataset that an adapter gets wrong. It goes with either of them."""

    __tablename__ = "adapter_mistakes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["dataset_id", "position"], ["dataset_images.dataset_id", "dataset_images.position"], ondelete="CASCADE"
        ),
        Index("ix_adapter_mistakes_image", "dataset_id", "position"),
    )

    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True)
    place: Mapped[int] = mapped_column(primary_key=True)  # in the list
    dataset_id: Mapped[str]
    position: Mapped[int]
    split: Mapped[str]  # saft_core/tuning/mistakes.py
    prediction: Mapped[str]


class Collection(Owned):
    """A tenant's searchable images."""

    __tablename__ = "collections"
    __table_args__ = (_listed("collections"),)

    id: Mapped[str] = mapped_column(primary_key=True, default=lambda: new_id("col"))
    name: Mapped[str]


class CollectionImage(Owned):
    """One searchable image of a collection."""

    __tablename__ = "collection_images"
    __table_args__ = (
        UniqueConstraint("collection_id", "sha256"),
        _listed("collection_images", "collection_id"),
        Index(
            "ix_collection_images_metadata",
            "metadata",
            postgresql_using="gin",
            postgresql_ops={"metadata": "jsonb_path_ops"},
        ),
        _unmeasured("collection_images"),
        *_references("collection_images", "collection_id"),
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
        """Its file."""
        return ImageFile(self.tenant_id, self.sha256, self.collection_id)


class ImageEmbedding(Owned):
    """An embedding as the version before reads and writes it; the version after this one drops the table."""

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


class IdempotencyRecord(Model):
    """The answer given to one Idempotency-Key, written in the transaction that did the work."""

    __tablename__ = "idempotency_records"

    owner: Mapped[str] = mapped_column(primary_key=True)  # a tenant's id, or "admin"
    key: Mapped[str] = mapped_column(primary_key=True)
    request_sha256: Mapped[str]
    status: Mapped[int | None]
    body: Mapped[dict[str, Any] | None]
    location: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp(), index=True)
