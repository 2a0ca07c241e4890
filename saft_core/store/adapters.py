"""Adapters and their delta containers."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import String, and_, bindparam, or_, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, defer, sessionmaker

from saft_core.errors import NameTaken, NotFound
from saft_core.store.database import constraint
from saft_core.store.models import Adapter, AdapterDelta, AdapterMistake, DatasetImage
from saft_core.store.scope import Scope, owned

UNIQUE_NAME = "uq_adapters_tenant_id_name"
_WANTED = bindparam("wanted", type_=String)
_BY_ID_OR_NAME = select(Adapter).where(owned(Adapter), or_(Adapter.id == _WANTED, Adapter.name == _WANTED)).limit(2)
_WITHOUT_REPORT = _BY_ID_OR_NAME.options(defer(Adapter.metrics, raiseload=True), defer(Adapter.blocks, raiseload=True))

_IMAGE_OF_A_MISTAKE = and_(
    DatasetImage.dataset_id == AdapterMistake.dataset_id, DatasetImage.position == AdapterMistake.position
)


def add(scope: Scope, adapter: Adapter, container: bytes, mistakes: Sequence[AdapterMistake] = ()) -> Adapter:
    """Publish an adapter with its container, and what it gets wrong, in this order.

    Raises NameTaken; the session must then be rolled back.
    """
    try:
        scope.add(adapter)
    except IntegrityError as error:
        if constraint(error) != UNIQUE_NAME:
            raise
        raise NameTaken(f"you have an adapter named {adapter.name!r}; choose another name") from error
    scope.add(AdapterDelta(adapter_id=adapter.id, container=container))
    for place, mistake in enumerate(mistakes):
        mistake.tenant_id, mistake.adapter_id, mistake.place = scope.tenant_id, adapter.id, place
    scope.session.add_all(mistakes)
    return adapter


def find(scope: Scope, id_or_name: str, *, report: bool = True) -> Adapter:
    """The tenant's adapter with this id or name; an id wins. Raises NotFound.

    Without `report`, its metrics and blocks, which are long, are left out and may not be read.
    """
    matches = scope.scalars(_BY_ID_OR_NAME if report else _WITHOUT_REPORT, wanted=id_or_name)
    if not matches:
        raise NotFound(f"there is no adapter {id_or_name!r}; GET /adapters lists yours")
    return next((adapter for adapter in matches if adapter.id == id_or_name), matches[0])


def mistakes(scope: Scope, adapter_id: str, after: int, limit: int) -> Sequence[tuple[AdapterMistake, DatasetImage]]:
    """Up to `limit` of an adapter's mistakes with a place above `after`, each with the image."""
    query = (
        select(AdapterMistake, DatasetImage)
        .join(DatasetImage, _IMAGE_OF_A_MISTAKE)
        .where(scope.owns(AdapterMistake), AdapterMistake.adapter_id == adapter_id, AdapterMistake.place > after)
        .order_by(AdapterMistake.place)
        .limit(limit)
    )
    return [(mistake, image) for mistake, image in scope.session.execute(query)]


def container(scope: Scope, adapter_id: str) -> bytes:
    """The delta container of the tenant's adapter. Raises NotFound."""
    found = scope.session.scalar(scope.select(AdapterDelta, AdapterDelta.adapter_id == adapter_id))
    if found is None:
        raise NotFound(f"there is no adapter {adapter_id}")
    return found.container


def load_container(sessions: sessionmaker[Session], adapter_id: str) -> bytes:
    """The container for the engine, which is asked only for ids that a scope has found. Raises NotFound."""
    with sessions() as session:
        found = session.scalar(select(AdapterDelta.container).where(AdapterDelta.adapter_id == adapter_id))
    if found is None:
        raise NotFound(f"there is no adapter {adapter_id}")
    return found
