from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from saft_core.errors import InvalidCursor, NotFound
from saft_core.store.models import Collection, Owned
from saft_core.store.scope import Scope
from tests.fixtures.plans import rows_visited
from tests.fixtures.tenants import add_tenant


def add_collections(scope: Scope, count: int, **values: object) -> list[str]:
    """Ids in the order they were made."""
    return [scope.add(Collection(name=f"c{number}", **values)).id for number in range(count)]


def all_pages(scope: Scope, limit: int) -> list[list[str]]:
    pages, cursor = [], None
    while True:
        page = scope.page(Collection, limit, cursor)
        pages.append([row.id for row in page.items])
        cursor = page.next_cursor
        if cursor is None:
            return pages


def test_a_missing_row_and_a_foreign_row_are_the_same_error(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    (foreign,) = add_collections(other, 1)
    missing = "col_" + "0" * 32
    messages = []
    for wanted in (foreign, missing):
        with pytest.raises(NotFound) as caught:
            mine.get(Collection, wanted)
        assert "collection" in caught.value.message
        messages.append(caught.value.message.replace(wanted, "ID"))
    assert messages[0] == messages[1]
    assert other.get(Collection, foreign).id == foreign


def test_pages_are_newest_first_and_hold_every_row_once(scope: Scope) -> None:
    made = add_collections(scope, 7)
    pages = all_pages(scope, 3)
    assert [len(page) for page in pages] == [3, 3, 1]
    assert [row_id for page in pages for row_id in page] == made[::-1]


def test_a_full_last_page_has_no_cursor(scope: Scope) -> None:
    add_collections(scope, 6)
    assert [len(page) for page in all_pages(scope, 3)] == [3, 3]


def test_pages_split_rows_of_the_same_moment_by_id(scope: Scope) -> None:
    made = add_collections(scope, 5, created_at=datetime(2026, 1, 1, tzinfo=UTC))
    pages = all_pages(scope, 2)
    assert [row_id for page in pages for row_id in page] == sorted(made, reverse=True)


def test_rows_that_come_while_paging_do_not_shift_the_pages(scope: Scope) -> None:
    made = add_collections(scope, 4)
    first = scope.page(Collection, 2, None)
    add_collections(scope, 2)
    second = scope.page(Collection, 2, first.next_cursor)
    assert [row.id for row in [*first.items, *second.items]] == made[::-1]


def test_a_page_shows_nothing_of_another_tenant_even_with_its_cursor(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    add_collections(other, 3)
    own = add_collections(mine, 1, created_at=datetime.now(UTC) - timedelta(days=1))
    foreign_cursor = other.page(Collection, 1, None).next_cursor
    assert [row.id for row in mine.page(Collection, 10, None).items] == own
    assert [row.id for row in mine.page(Collection, 10, foreign_cursor).items] == own


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "", "!", "abc", "ünïcode", "\0", "A" * 5000,
        encoded("yesterday col_1"),
        encoded("2026-01-01T00:00:00 col_1"),  # without a zone
        encoded("2026-01-01T00:00:00+00:00"),
        encoded("2026-01-01T00:00:00+00:00 \0"),
        base64.urlsafe_b64encode(b"2026-01-01T00:00:00+00:00 \xff").decode(),
    ],
)  # fmt: skip
def test_a_cursor_of_somebodys_own_making_is_an_error(scope: Scope, cursor: str) -> None:
    with pytest.raises(InvalidCursor):
        scope.page(Collection, 1, cursor)


def test_an_added_row_belongs_to_the_tenant_whatever_it_said(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    row = mine.add(Collection(name="c", tenant_id=other.tenant_id))
    assert mine.get(Collection, row.id).name == "c"
    with pytest.raises(NotFound):
        other.get(Collection, row.id)


def test_every_table_of_a_tenant_is_owned() -> None:
    free = {"tenants", "idempotency_records"}
    assert {table.name for table in Owned.metadata.sorted_tables if "tenant_id" not in table.c} == free


def test_a_page_reads_no_more_rows_than_it_shows(session: Session) -> None:
    scope = add_tenant(session)
    values = {"tenant": scope.tenant_id}
    session.execute(
        text(
            "INSERT INTO collections (id, name, tenant_id)"
            " SELECT 'col_' || g, 'c', :tenant FROM generate_series(1, 5000) g"
        ),
        values,
    )
    session.execute(text("ANALYZE collections"))
    cursor = scope.page(Collection, 20, None).next_cursor
    for position in (None, cursor):
        assert rows_visited(session, partial(scope.page, Collection, 20, position)) < 100
