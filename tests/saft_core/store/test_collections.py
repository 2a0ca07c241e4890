from __future__ import annotations

from sqlalchemy.orm import Session

from saft_core.store import collections
from saft_core.store.models import Collection, CollectionImage
from saft_core.store.scope import Scope
from tests.fixtures import tenants
from tests.fixtures.tenants import add_tenant


def add_images(scope: Scope, count: int, name: str = "c") -> tuple[str, list[str]]:
    """A collection of so many images, and their ids."""
    collection = scope.add(Collection(name=name))
    images = [CollectionImage(filename=f"{n}.png", sha256=f"{n:064x}", media_type="image/png") for n in range(count)]
    return collection.id, [image.id for image in tenants.add_images(scope, collection.id, images)]


def test_the_same_bytes_are_one_image_of_a_collection(scope: Scope) -> None:
    first, images = add_images(scope, 2)
    again = [
        CollectionImage(filename=name, sha256=f"{number:064x}", media_type="image/png")
        for number, name in ((7, "new"), (0, "again"), (7, "new again"))
    ]
    added = tenants.add_images(scope, first, again)
    assert [image.filename for image in added] == ["new", "0.png"]
    assert added[1].id == images[0]
    second, copies = add_images(scope, 1)
    assert copies[0] not in images
    assert collections.counts(scope, [first, second]) == {first: 3, second: 1}


def test_empty_and_foreign_collections_have_no_count(session: Session) -> None:
    mine, other = add_tenant(session, "mine"), add_tenant(session, "other")
    empty, _ = add_images(mine, 0)
    foreign, _ = add_images(other, 2)
    assert collections.counts(mine, [empty, foreign]) == {}
