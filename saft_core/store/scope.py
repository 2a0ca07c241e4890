"""Tenant isolation: the one module that compares a `tenant_id`; every read and write of a tenant's row goes through it.

A row that does not exist and a row of another tenant raise the same NotFound.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, bindparam, select, tuple_
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ExecutableOption

from saft_core.errors import InvalidCursor, NotFound
from saft_core.store import audit
from saft_core.store.models import Model, Owned

Row = TypeVar("Row", bound=Owned)
Listed = TypeVar("Listed", bound=Model)


@dataclass(frozen=True)
class PageOf(Generic[Listed]):
    """One page of a list, and the cursor of the next page; None on the last page."""

    items: Sequence[Listed]
    next_cursor: str | None


def owned(model: type[Owned]) -> ColumnElement[bool]:
    """As `Scope.owns`, for a statement that is built once for all tenants: `Scope.scalars` binds the tenant."""
    return model.tenant_id == bindparam("tenant_id")


class Scope:
    """Access to the rows of one tenant, within one database session.

    key_id: the key that makes the request, for the audit log.
    """

    def __init__(self, session: Session, tenant_id: str, key_id: str | None = None) -> None:
        self.session = session
        self.tenant_id = tenant_id
        self.key_id = key_id

    def select(self, model: type[Row], *conditions: ColumnElement[bool]) -> Select[Row]:
        """A SELECT of the tenant's rows of `model` that match all conditions."""
        return select(model).where(self.owns(model), *conditions)

    def owns(self, model: type[Owned]) -> ColumnElement[bool]:
        """The SQL condition that a row of `model` is the tenant's, for queries other than a SELECT of rows."""
        return model.tenant_id == self.tenant_id

    def scalars(self, statement: Select[Row], **parameters: Any) -> Sequence[Row]:
        """The rows of a statement that contains `owned`: built once, since building it takes as long as running it."""
        return self.session.scalars(statement, parameters | {"tenant_id": self.tenant_id}).all()

    def get(self, model: type[Row], row_id: str, *, lock: bool = False) -> Row:
        """The tenant's row with this id, locked until the transaction ends if asked. Raises NotFound."""
        query = self._by_id(model, row_id)
        return self._one(query.with_for_update() if lock else query, model, row_id)

    def hold(self, model: type[Row], row_id: str) -> Row:
        """The tenant's row with this id, with a shared lock against its deletion. Raises NotFound."""
        return self._one(self._by_id(model, row_id).with_for_update(read=True, key_share=True), model, row_id)

    def _by_id(self, model: type[Row], row_id: str) -> Select[Row]:
        return self.select(model, model.id == row_id)  # type: ignore[attr-defined]

    def _one(self, query: Select[Row], model: type[Row], row_id: str) -> Row:
        row = self.session.scalar(query)
        if row is None:
            raise NotFound(f"there is no {_in_words(model)} {row_id}")
        return row

    def add(self, row: Row) -> Row:
        """Insert a row of the tenant, with an event in the audit log; its defaults are loaded."""
        row.tenant_id = self.tenant_id
        self.session.add(row)
        self.session.flush()
        self.session.refresh(row)
        audit.note_row(self, "created", row)
        return row

    def delete(self, row: Owned) -> None:
        """Delete a row that came from this scope, with the rows that cascade, and log it in the audit log."""
        self.session.delete(row)
        audit.note_row(self, "deleted", row)
        self.session.flush()

    def page(
        self,
        model: type[Row],
        limit: int,
        cursor: str | None,
        *conditions: ColumnElement[bool],
        options: Sequence[ExecutableOption] = (),
    ) -> PageOf[Row]:
        """A page of up to `limit` rows, newest first, from behind `cursor`. Raises InvalidCursor."""
        return page_of(self.session, self.select(model, *conditions).options(*options), model, limit, cursor)


def page_of(
    session: Session, query: Select[Listed], model: type[Listed], limit: int, cursor: str | None
) -> PageOf[Listed]:
    """A page of up to `limit` rows of a query, newest first, from behind `cursor`. Raises InvalidCursor."""
    created_at, row_id = model.created_at, model.id  # type: ignore[attr-defined]
    # Ordered column by column, as the index is: no index serves the order of a row value.
    query = query.order_by(created_at.desc(), row_id.desc()).limit(limit + 1)
    if cursor is not None:
        query = query.where(tuple_(created_at, row_id) < tuple_(*_decode_cursor(cursor)))
    rows = session.scalars(query).all()
    last = rows[limit - 1] if len(rows) > limit else None
    return PageOf(rows[:limit], _encode_cursor(last) if last is not None else None)


def _in_words(model: type[Owned]) -> str:
    """`CollectionImage` as "collection image"."""
    return " ".join(re.findall("[A-Z][a-z]+", model.__name__)).lower()


def _encode_cursor(row: Any) -> str:
    return base64.urlsafe_b64encode(f"{row.created_at.isoformat()} {row.id}".encode()).decode().rstrip("=")


def _decode_cursor(cursor: str) -> tuple[datetime, str]:
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        moment, _, row_id = text.partition(" ")
        created_at = datetime.fromisoformat(moment)
    except (binascii.Error, ValueError) as error:
        raise InvalidCursor from error
    if created_at.tzinfo is None or not row_id or "\0" in row_id:
        raise InvalidCursor
    return created_at, row_id
