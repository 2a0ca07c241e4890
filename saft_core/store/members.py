"""The images that a search runs over: those of a collection or of a dataset, by the same columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, ColumnExpressionArgument, String, cast, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB

from saft_core.errors import NotFound
from saft_core.store.models import Collection, CollectionImage, Dataset, DatasetImage
from saft_core.store.scope import Scope


@dataclass(frozen=True)
class Member:
    """One image. Of a dataset, `id` is the position, `filename` the path and `metadata` {"label": ...}."""

    id: str
    filename: str
    sha256: str
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """The tables and columns from which the fields of a `Member` are read."""

    name: str
    owner: type[Collection] | type[Dataset]
    model: type[CollectionImage] | type[DatasetImage]
    owner_id: ColumnElement[str]
    id: ColumnElement[str]
    filename: ColumnElement[str]
    metadata: ColumnElement[Any]


_LABEL = func.jsonb_build_object(literal_column("'label'"), DatasetImage.label, type_=JSONB)
_COLLECTION, _IMAGE, _LABELLED = CollectionImage.__table__.c, CollectionImage, DatasetImage.__table__.c
COLLECTION = Kind(
    "collection",
    Collection,
    CollectionImage,
    _COLLECTION.collection_id,
    _COLLECTION.id,
    _COLLECTION.filename,
    _COLLECTION.metadata,
)
DATASET = Kind(
    "dataset", Dataset, DatasetImage, _LABELLED.dataset_id, cast(_LABELLED.position, String), _LABELLED.path, _LABEL
)


@dataclass(frozen=True)
class Members:
    """The images of one collection or dataset."""

    kind: Kind
    owner_id: str

    @classmethod
    def of_collection(cls, collection_id: str) -> Members:
        """The images of a collection."""
        return cls(COLLECTION, collection_id)

    @classmethod
    def of_dataset(cls, dataset_id: str) -> Members:
        """The images of a dataset."""
        return cls(DATASET, dataset_id)

    def within(self, scope: Scope) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
        """The SQL conditions that a row of `kind.model` is one of these images."""
        return scope.owns(self.kind.model), self.kind.owner_id == self.owner_id

    def check(self, scope: Scope) -> None:
        """Raise NotFound if the tenant has no such collection or dataset."""
        scope.get(self.kind.owner, self.owner_id)

    def has_unadopted(self, scope: Scope) -> bool:
        """Whether an earlier version wrote some of them. Goes with adoption.py, a version later."""
        left = select(self.kind.owner_id).where(*self.within(scope), ~self.kind.model.adopted).limit(1)
        return scope.session.scalar(left) is not None

    def get(self, scope: Scope, image_id: str) -> Member:
        """One image by its id. Raises NotFound."""
        found = self.where(scope, self._is(image_id))
        if not found:
            raise NotFound(f"{self.kind.name} {self.owner_id} has no image {image_id}")
        return found[0]

    def _is(self, image_id: str) -> ColumnElement[bool]:
        """The SQL condition for one image; a dataset's position is compared as a number, for the index."""
        if self.kind is DATASET and image_id.isascii() and image_id.isdigit() and len(image_id) < 10:
            return (self.kind.id == image_id) & (_LABELLED.position == int(image_id))
        return self.kind.id == image_id

    def where(self, scope: Scope, *conditions: ColumnExpressionArgument[bool]) -> list[Member]:
        """The images that match all conditions, ordered by id."""
        kind = self.kind
        query = select(kind.id, kind.filename, kind.model.sha256, kind.metadata)
        query = query.where(*self.within(scope), *conditions).order_by(kind.id)
        return [Member(*row) for row in scope.session.execute(query)]
