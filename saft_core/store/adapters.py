"""Adapters: numbered versions that share a name, of which one is published; their predictions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any, Protocol, cast

from sqlalchemy import Integer, String, and_, bindparam, func, or_, select
from sqlalchemy import delete as sql_delete
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import defer, with_expression

from saft_core.comparison import Answered
from saft_core.errors import Conflict, NameTaken, NotFound
from saft_core.store import audit
from saft_core.store.database import constraint
from saft_core.store.models import (
    Adapter,
    AdapterAnswers,
    AdapterDelta,
    AdapterMistake,
    AdapterName,
    DatasetImage,
)
from saft_core.store.scope import PageOf, Scope, owned
from saft_core.store.summary import summary_of
from saft_core.templates import Template

UNIQUE_NAME = "uq_adapters_tenant_id_name"
_VERSION = re.compile(r"(?P<name>.+)@(?P<version>[1-9]\d{0,8})", re.DOTALL | re.ASCII)
_WANTED = bindparam("wanted", type_=String)
_OF_A_VERSION = and_(
    Adapter.name == bindparam("name", type_=String), Adapter.version == bindparam("version", type_=Integer)
)
_FOUND = select(Adapter).where(owned(Adapter), or_(Adapter.id == _WANTED, Adapter.called == _WANTED, _OF_A_VERSION))
_WITHOUT_REPORT = _FOUND.options(defer(Adapter.metrics, raiseload=True), defer(Adapter.blocks, raiseload=True))

_ITEM = (
    defer(Adapter.metrics, raiseload=True),
    with_expression(Adapter.summary, summary_of(Adapter.metrics)),
)
_IMAGE_OF_A_MISTAKE = and_(
    DatasetImage.dataset_id == AdapterMistake.dataset_id, DatasetImage.position == AdapterMistake.position
)


class Header(Protocol):
    """What the header of a delta container says of an adapter."""

    @property
    def classes(self) -> Sequence[str]:
        """The labels, in their order."""

    @property
    def template(self) -> Template:
        """The prompt or prompts."""

    @property
    def density(self) -> float:
        """The share of selected parameters."""

    @property
    def base_name(self) -> str:
        """The base that it was made for."""

    @property
    def base_fingerprint(self) -> str:
        """The fingerprint of that base."""


def row_of(
    name: str,
    header: Header,
    *,
    nnz: int,
    delta_bytes: int,
    strength: float,
    calibration: dict[str, Any],
    metrics: dict[str, Any],
    blocks: list[dict[str, Any]],
) -> Adapter:
    """The row of a trained or imported adapter, not in a session yet; the columns are described at `Adapter`."""
    return Adapter(
        name=name,
        classes=list(header.classes),
        template=header.template,
        density=header.density,
        base=header.base_name,
        base_fingerprint=header.base_fingerprint,
        nnz=nnz,
        delta_bytes=delta_bytes,
        strength=strength,
        calibration=calibration,
        metrics=metrics,
        blocks=blocks,
    )


def of_a_version(text: str) -> tuple[str, int] | None:
    """The name and the number in "name@number"; None if `text` has another form."""
    found = _VERSION.fullmatch(text)
    return (found["name"], int(found["version"])) if found else None


def add(
    scope: Scope,
    adapter: Adapter,
    container: bytes,
    mistakes: Sequence[AdapterMistake] = (),
    answers: Mapping[str, Answered] | None = None,
    class_embeddings: bytes | None = None,
) -> Adapter:
    """Write the next version of the adapter's name, not published yet, with its delta container.

    mistakes: in the order in which they are listed. answers: by the SHA-256 of the image. class_embeddings: made by
    this service (saft_core/delta/class_embeddings.py), never from outside; None for an imported adapter.

    Raises NameTaken when a replica of an earlier release takes the name at the same time; roll the session back then.
    """
    lock_name(scope, adapter.name)
    adapter.version = _next_version(scope, adapter.name)
    adapter.called = adapter.address
    try:
        scope.add(adapter)
    except IntegrityError as error:
        if constraint(error) != UNIQUE_NAME:
            raise
        raise NameTaken(f"the name {adapter.name!r} was given meanwhile; choose another name") from error
    scope.add(AdapterDelta(adapter_id=adapter.id, delta=container, class_embeddings=class_embeddings))
    scope.add(
        AdapterAnswers(adapter_id=adapter.id, answers=[[k, *astuple(told)] for k, told in (answers or {}).items()])
    )
    for place, mistake in enumerate(mistakes):
        mistake.tenant_id, mistake.adapter_id, mistake.place = scope.tenant_id, adapter.id, place
    scope.session.add_all(mistakes)
    return adapter


def lock_name(scope: Scope, name: str) -> None:
    """Lock an adapter name until the transaction ends; call it before a version is added, published or deleted."""
    scope.session.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"{scope.tenant_id}/{name}", 0))))


def _next_version(scope: Scope, name: str) -> int:
    """The next version number of a locked name: no version has had it, and no adapter is named `name@number`."""
    last = scope.session.scalar(select(func.max(Adapter.version)).where(scope.owns(Adapter), Adapter.name == name)) or 0
    given = {"tenant_id": scope.tenant_id, "name": name}
    while True:
        query = insert(AdapterName).values(given | {"versions": last + 1})
        query = query.on_conflict_do_update(
            index_elements=list(given), set_={"versions": func.greatest(AdapterName.versions, last) + 1}
        )
        last = cast("int", scope.session.scalar(query.returning(AdapterName.versions)))
        if scope.session.scalar(scope.select(Adapter, Adapter.called == f"{name}@{last}")) is None:
            return last


def published(scope: Scope, name: str) -> Adapter | None:
    """The published version of a name, read anew; None if no version is published."""
    query = scope.select(Adapter, Adapter.called == name, Adapter.name == name)
    return scope.session.scalar(query.execution_options(populate_existing=True))


def publish(scope: Scope, adapter: Adapter) -> None:
    """Publish this version in place of the published one, on every replica from the commit on.

    Raises NotFound when it was deleted in the meantime.
    """
    lock_name(scope, adapter.name)
    scope.get(Adapter, adapter.id, lock=True)
    scope.session.refresh(adapter, ["called"])
    before = published(scope, adapter.name)
    if before is not None and before.id != adapter.id:
        before.called = before.address
        scope.session.flush()  # in this order: no two are ever called the same
    adapter.called = adapter.name
    audit.note(scope, "adapter.published", adapter.id, name=adapter.name, version=adapter.version)
    scope.session.flush()


def drop_oldest(scope: Scope, name: str, keep: int) -> None:
    """Delete the oldest versions of a locked name until `keep` are left; never the published or the newest one."""
    versions = scope.session.scalars(
        scope.select(Adapter, Adapter.name == name).order_by(Adapter.version.desc()).options(defer(Adapter.metrics))
    ).all()
    spare = [version for version in versions[1:] if not version.published]
    for version in spare[::-1][: max(0, len(versions) - keep)]:
        scope.delete(version)


def delete(scope: Scope, id_or_name: str) -> None:
    """Delete one version, by its id or name@version, or by their name all of them.

    Raises NotFound, and Conflict for the published version while there are others.
    """
    lock_name(scope, id_or_name)
    versions = scope.session.scalars(scope.select(Adapter, Adapter.name == id_or_name)).all()
    if not versions:
        versions = [_one_version(scope, id_or_name)]
    for version in versions:
        scope.delete(version)
    left = scope.select(Adapter, Adapter.name == AdapterName.name).exists()
    forgotten = (scope.owns(AdapterName), AdapterName.name == versions[0].name, ~left)
    scope.session.execute(sql_delete(AdapterName).where(*forgotten))


def _one_version(scope: Scope, id_or_address: str) -> Adapter:
    """The version that is to be deleted. Raises NotFound, and Conflict as `delete` does."""
    version = find(scope, id_or_address)
    lock_name(scope, version.name)
    scope.session.refresh(version)
    others = scope.select(Adapter, Adapter.name == version.name, Adapter.id != version.id)
    if version.published and scope.session.scalar(others.limit(1)) is not None:
        raise Conflict(
            f"version {version.version} answers the name {version.name!r}; publish another one first, or delete all of"
            " them by their name"
        )
    return version


def find(scope: Scope, id_or_name: str, *, report: bool = True) -> Adapter:
    """The tenant's version with this id, or the published one of this name, or this name@version. Raises NotFound.

    An id takes precedence over a name, and a name that contains "@" over a version. Without `report`, `metrics` and
    `blocks`, which are long, are not loaded and may not be read.
    """
    name, version = of_a_version(id_or_name) or (None, None)
    query = _FOUND if report else _WITHOUT_REPORT
    matches = scope.scalars(query, wanted=id_or_name, name=name, version=version)
    if not matches:
        raise NotFound(_unknown(scope, id_or_name))
    return min(matches, key=lambda adapter: (adapter.id != id_or_name, adapter.called != id_or_name))


def page(
    scope: Scope, limit: int, cursor: str | None, name: str | None = None, published: bool | None = None
) -> PageOf[Adapter]:
    """A page of versions, newest first, with `summary` in place of `metrics`. Raises InvalidCursor."""
    conditions = [] if name is None else [Adapter.name == name]
    conditions += [] if published is None else [Adapter.published.is_(published)]
    return scope.page(Adapter, limit, cursor, *conditions, options=_ITEM)


def _unknown(scope: Scope, id_or_name: str) -> str:
    newest = scope.select(Adapter, Adapter.name == id_or_name).order_by(Adapter.version.desc())
    version = scope.session.scalar(newest.limit(1))
    if version is None:
        return f"there is no adapter {id_or_name!r}; GET /adapters lists yours"
    return f"no version of {id_or_name!r} is published; ask for {version.address!r}, or publish one"


def answers(scope: Scope, adapter_id: str) -> dict[str, Answered]:
    """The adapter's predictions on the images of its training, by SHA-256; empty for an imported adapter."""
    found = scope.session.scalar(scope.select(AdapterAnswers, AdapterAnswers.adapter_id == adapter_id))
    return {image: Answered(*told) for image, *told in found.answers} if found else {}


def mistakes(scope: Scope, adapter_id: str, after: int, limit: int) -> Sequence[tuple[AdapterMistake, DatasetImage]]:
    """Up to `limit` of an adapter's mistakes with a place above `after`, each with its image."""
    query = (
        select(AdapterMistake, DatasetImage)
        .join(DatasetImage, _IMAGE_OF_A_MISTAKE)
        .where(scope.owns(AdapterMistake), AdapterMistake.adapter_id == adapter_id, AdapterMistake.place > after)
        .order_by(AdapterMistake.place)
        .limit(limit)
    )
    return [(mistake, image) for mistake, image in scope.session.execute(query)]
