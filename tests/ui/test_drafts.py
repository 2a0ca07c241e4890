"""Pictures that were not taught yet: kept by the browser, for each tab, and no one else's."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures import samples
from tests.fixtures.boxes import Boxes, plain_picture
from tests.fixtures.browser import Visit, needs_chromium

pytestmark = needs_chromium

KEPT = """async () => {
  const [{ name }] = (await indexedDB.databases()).filter((one) => one.name.startsWith("saft-"));
  const opened = await new Promise((done) => (indexedDB.open(name).onsuccess = (event) => done(event.target.result)));
  const drafts = opened.transaction("values").objectStore("values").getAll();
  return new Promise((done) => (drafts.onsuccess = () => (opened.close(), done(drafts.result.length))));
}"""
BREAK = """async () => {
  const [{ name }] = (await indexedDB.databases()).filter((one) => one.name.startsWith("saft-"));
  const opened = await new Promise((done) => (indexedDB.open(name).onsuccess = (event) => done(event.target.result)));
  const values = opened.transaction("values", "readwrite").objectStore("values");
  const keys = values.getAllKeys();
  await new Promise((done) => (keys.onsuccess = () => {
    for (const key of keys.result) values.put({ draft: {} }, key);
    values.transaction.oncomplete = () => (opened.close(), done());
  }));
}"""

# A browser whose database takes until `release` to be open.
SLOW = """
  const { open } = IDBFactory.prototype;
  const released = new Promise((resolve) => (window.release = resolve));
  IDBFactory.prototype.open = function (...given) {
    const asked = open.apply(this, given);
    const listen = (then) => asked.addEventListener("success", (event) => released.then(() => then(event)));
    return Object.defineProperty(asked, "onsuccess", { set: listen });
  };
"""
NOT_KEPT = "This browser keeps no files"


@pytest.fixture
def boxes(visit: Visit) -> Boxes:
    """Those of somebody new, with six pictures in the first."""
    filled = Boxes(visit)
    filled.choose("Class 1", samples.of_class("train", "bird")[:6])
    filled.count("Class 1", 6)
    visit.until(lambda: visit.page.evaluate(KEPT) == 1)
    return filled


def databases(boxes: Boxes) -> list[str]:
    """Those that the page has made."""
    names = boxes.page.evaluate("indexedDB.databases().then((all) => all.map((one) => one.name))")
    return [name for name in names if name.startswith("saft-")]


def another_tab(boxes: Boxes) -> Boxes:
    """A tab of the same visitor in the same browser."""
    visit = Visit(boxes.page.context.new_page(), boxes.visit.service)
    visit.errors = boxes.visit.errors  # which are looked at in the end
    visit.open()
    return Boxes(visit)


def test_what_is_put_in_right_before_a_reload_is_kept(visit: Visit) -> None:
    boxes = Boxes(visit)
    for number, bird in enumerate(samples.of_class("train", "bird")[:4], 1):
        boxes.choose("Class 1", [bird])
        boxes.count("Class 1", number)
        visit.reload()
        boxes.count("Class 1", number)


def test_many_pictures_put_in_right_before_a_reload_are_kept(visit: Visit, tmp_path: Path) -> None:
    boxes, many = Boxes(visit), 120
    boxes.choose("Class 1", [plain_picture(tmp_path, f"{number}.png", (number, 0, 0)) for number in range(many)])
    boxes.count("Class 1", many)
    visit.reload()
    boxes.count("Class 1", many)


def test_what_is_put_in_is_kept_again_where_the_browser_was_cleared(boxes: Boxes) -> None:
    tab = boxes.page.context.new_cdp_session(boxes.page)
    given = {"origin": boxes.visit.service.url, "storageTypes": "indexeddb"}
    tab.send("Storage.clearDataForOrigin", given)
    boxes.choose("Class 1", samples.of_class("train", "bird")[6:7])
    boxes.count("Class 1", 7)
    boxes.visit.until(lambda: databases(boxes) != [] and boxes.page.evaluate(KEPT) == 1)
    boxes.visit.reload()
    boxes.count("Class 1", 7)


def with_slow_database(boxes: Boxes) -> None:
    """The same tab, reloaded, in which the database is not open until it is released."""
    boxes.page.add_init_script(SLOW)
    boxes.visit.reload()
    boxes.count("Class 1", 0)


def test_a_database_that_opens_late_fills_boxes_that_are_empty(boxes: Boxes) -> None:
    with_slow_database(boxes)
    boxes.page.evaluate("release()")
    boxes.count("Class 1", 6)


def test_a_database_that_opens_late_keeps_what_was_put_in_meanwhile_and_what_was_there(boxes: Boxes) -> None:
    with_slow_database(boxes)
    boxes.choose("Class 1", samples.of_class("train", "fish")[:2])
    boxes.visit.sees(NOT_KEPT)
    boxes.page.evaluate("release()")
    expect(boxes.page.get_by_text(NOT_KEPT)).to_have_count(0)
    boxes.visit.until(lambda: boxes.page.evaluate(KEPT) == 2)
    another_tab(boxes).count("Class 1", 6)
    boxes.page.reload()
    boxes.page.evaluate("release()")
    boxes.count("Class 1", 2)


def test_a_database_that_opens_while_files_are_chosen_loses_none(boxes: Boxes) -> None:
    with_slow_database(boxes)
    with boxes.page.expect_file_chooser() as chooser:
        boxes.visit.button("Choose pictures for Class 1").click()
    boxes.page.evaluate("release()")
    boxes.count("Class 1", 6)
    chooser.value.set_files(samples.of_class("train", "fish")[:2])
    expect(boxes.page.locator(".class-box .tile")).to_have_count(8)


def test_signing_out_before_the_database_is_open_asks_too_and_leaves_nothing_behind(boxes: Boxes) -> None:
    with_slow_database(boxes)
    boxes.choose("Class 1", samples.of_class("train", "fish")[:2])
    boxes.visit.part("sign-out").click()
    boxes.visit.sees("Signing out removes pictures that were not taught yet.")
    boxes.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(boxes.page.get_by_label("Your key")).to_be_visible()
    assert databases(boxes) == []


def test_two_tabs_have_drafts_of_their_own(boxes: Boxes) -> None:
    other = another_tab(boxes)
    other.count("Class 1", 0)
    other.page.close()
    boxes.visit.reload()
    boxes.count("Class 1", 6)


def test_the_draft_of_a_tab_that_was_closed_is_taken_on_by_the_next(boxes: Boxes) -> None:
    other = another_tab(boxes)
    boxes.page.close()
    other.choose("Class 1", samples.of_class("train", "fish")[:2])
    other.count("Class 1", 2)
    another_tab(other).count("Class 1", 6)
    other.visit.reload()
    other.count("Class 1", 2)


def test_another_key_of_the_same_tenant_finds_the_draft(boxes: Boxes) -> None:
    key = boxes.visit.api("POST", "/keys", data={"name": "second"})["api_key"]
    boxes.visit.part("account").click()
    boxes.visit.part("another").click()
    boxes.page.get_by_label("Your key").fill(key)
    boxes.visit.button("Sign in").click()
    boxes.count("Class 1", 6)


def test_a_draft_of_another_shape_is_no_draft(boxes: Boxes) -> None:
    boxes.page.evaluate(BREAK)
    boxes.visit.reload()
    boxes.count("Class 1", 0)
    boxes.choose("Class 1", samples.of_class("train", "bird")[:3])
    boxes.count("Class 1", 3)


def test_signing_out_asks_and_then_leaves_nothing_behind(boxes: Boxes) -> None:
    boxes.visit.part("sign-out").click()
    boxes.visit.sees("6 files that were not taught yet are in this browser alone")
    boxes.visit.button("No, keep it").click()
    boxes.count("Class 1", 6)
    boxes.visit.part("sign-out").click()
    boxes.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(boxes.page.get_by_label("Your key")).to_be_visible()
    assert databases(boxes) == []


def test_signing_out_in_one_tab_leaves_nothing_that_another_could_keep(boxes: Boxes) -> None:
    other = another_tab(boxes)
    other.choose("Class 1", samples.of_class("train", "fish")[:2])
    other.count("Class 1", 2)
    boxes.visit.part("sign-out").click()
    boxes.page.get_by_role("dialog").get_by_role("button", name="Sign out").click()
    expect(boxes.page.get_by_label("Your key")).to_be_visible()
    other.choose("Class 1", samples.of_class("train", "fish")[2:3])
    other.visit.sees(NOT_KEPT)
    assert databases(other) == []


def test_names_of_classes_are_kept_without_pictures(visit: Visit) -> None:
    visit.page.get_by_label("Name of class 1").fill("dogs")
    visit.reload()
    expect(visit.page.get_by_label("Name of class 1")).to_have_value("dogs")


def test_a_browser_that_keeps_nothing_still_lets_one_in(visit: Visit) -> None:
    visit.page.add_init_script(
        "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('denied', 'SecurityError') } })"
    )
    visit.reload()
    visit.sees("Signed in as page tests")
