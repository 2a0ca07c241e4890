"""Adapters: one row for each version, with its delta container, its predictions and its mistakes."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    LargeBinary,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.orm import Mapped, mapped_column, query_expression

from saft_core.store.models.base import Owned, listed_index, new_id
from saft_core.templates import Template, as_template, each


class Adapter(Owned):
    """One version of an adapter: the result of a job or an import.

    Every version has a row and an id. `called` is unique in a tenant: the published version is called by the plain
    name, the others by `name@version`. A replica of an earlier release, which knows this column only, finds the same
    published version.
    """

    __tablename__ = "adapters"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("job_id"),
        Index("uq_adapters_version", "tenant_id", text("coalesce(family, name)"), "version", unique=True),
        listed_index("adapters"),
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
        """The name that all versions of the adapter share."""
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
        """`name@version`, by which a request asks for this version whether it is published or not."""
        return f"{self.name}@{self.version}"

    @hybrid_property
    def published(self) -> bool:
        """Whether a request for the plain name gets this version."""
        return self.called == self.name

    @property
    def template(self) -> Template:
        """The prompt template, or the ensemble of them, that the adapter was trained with."""
        return as_template(self._templates or self._template)

    @template.setter
    def template(self, template: Template) -> None:
        self._template = each(template)[0]
        self._templates = None if isinstance(template, str) else list(template)


class AdapterDelta(Owned):
    """The delta container of an adapter, in a table of its own so that a list of adapters never reads it.

    class_embeddings: those of its own classes, as saft_core/delta/class_embeddings.py encodes them. Only what a worker
    of this service made is ever written here.
    """

    __tablename__ = "adapter_deltas"

    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True)
    delta: Mapped[bytes | None] = mapped_column(LargeBinary)  # null until what the version before wrote is rewritten
    class_embeddings: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)  # null if not made by a worker
    container: Mapped[bytes] = mapped_column(  # of the version before; the version after this one drops it
        LargeBinary,
        server_default=text("'a delta of version 3, which only a later release of the service reads'::bytea"),
        deferred=True,
    )


class AdapterAnswers(Owned):
    """The predictions of an adapter on the images of its training, from which versions are compared (comparison.py).

    In a table of its own, so that no list reads them. They outlive the datasets.
    """

    __tablename__ = "adapter_answers"

    adapter_id: Mapped[str] = mapped_column(ForeignKey("adapters.id", ondelete="CASCADE"), primary_key=True)
    answers: Mapped[list[Any]]  # [[sha256, split, label, prediction]]


class AdapterName(Owned):
    """How many versions a name has had, so that the number of a deleted version is not used again."""

    __tablename__ = "adapter_names"

    tenant_id: Mapped[str] = mapped_column(ForeignKey("tenants.id", ondelete="CASCADE"), primary_key=True)
    name: Mapped[str] = mapped_column(primary_key=True)
    versions: Mapped[int]


class AdapterMistake(Owned):
    """An image of a dataset that an adapter classifies wrongly. The row is deleted with either of them."""

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
