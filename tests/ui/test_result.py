"""A result in a real browser: its verdict, its mistakes, and the better version that is made of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.fixtures.accessibility import violations
from tests.fixtures.boxes import Boxes
from tests.fixtures.browser import PHONE, TRAINING_MS, Visit, needs_chromium
from tests.fixtures.service import Service
from tests.fixtures.taught import NAME, WRONG, Owner, noise, owner_of_three_things

pytestmark = needs_chromium

MANY = "many things"


@pytest.fixture(scope="module")
def owner(service: Service) -> Owner:
    """Has an adapter of three classes that was measured on a test set, and one of many that was measured on its own."""
    owner = owner_of_three_things(service)
    owner.teach(NAME, owner.dataset_id, test_dataset_id=owner.test_dataset_id, config={"epochs": 1})
    owner.teach(MANY, owner.upload(MANY, noise(14, 5)), config={"epochs": 1, "evaluate": "holdout"})
    return owner


@pytest.fixture
def visit(owner: Owner, browser: Browser) -> Iterator[Visit]:
    """The owner's page, at the Adapters tab."""
    for visit in owner.visits(browser):
        visit.open("Adapters")
        yield visit


def opened(visit: Visit, name: str = NAME) -> Locator:
    """The result of the first version of a name."""
    visit.button(f"Result of version 1 of {name}").click()
    visit.page.wait_for_selector(".verdict-title")
    return visit.page.locator(".result")


def first_version(owner: Owner, name: str = NAME) -> dict[str, Any]:
    return dict(owner.get(f"/adapters/{name}@1"))


def dialog(visit: Visit) -> Locator:
    return visit.page.get_by_role("dialog").first


def pictures(visit: Visit) -> list[str]:
    """The paths of the pictures in the dialog."""
    expect(dialog(visit).locator(".picks img").first).to_be_visible()
    return [image.get_attribute("alt").split(": ")[0] for image in dialog(visit).locator(".picks img").all()]  # type: ignore[union-attr]


def pick(visit: Visit, path: str) -> Locator:
    """The check box of the picture whose path has this in it."""
    return dialog(visit).get_by_role("checkbox", name=path).first


def test_the_verdict_and_all_counts_are_those_of_the_metrics(visit: Visit, owner: Owner) -> None:
    metrics = first_version(owner)["metrics"]
    result = opened(visit)
    right, images, before = metrics["right"], metrics["test_images"], metrics["zero_shot_right"]
    verdict = result.locator(".verdict")
    expect(verdict).to_contain_text({"better": "Better", "worse": "Worse"}.get(metrics["verdict"], "etter"))
    bars = result.locator(".pair-value strong")
    assert bars.all_inner_texts() == [f"{before} of {images}", f"{right} of {images}"]
    expect(result).to_contain_text(f"Measured on {images} pictures of a test set")
    expect(result).to_contain_text(f"Still knows {metrics['kept']:.0%} of the everyday things")
    for told in metrics["per_class"]:
        row = result.get_by_role("row").filter(has=visit.page.get_by_role("rowheader", name=told["label"])).first
        expect(row).to_contain_text(f"{round(told['recall'] * told['count'])} of {told['count']}")


def test_classes_are_sorted_by_what_is_worst(visit: Visit, owner: Owner) -> None:
    told = {entry["label"]: entry for entry in first_version(owner)["metrics"]["per_class"]}
    result = opened(visit)
    names = result.locator(".class-table tbody th")
    for column, figure in (("Found", "recall"), ("Right when said", "precision")):
        result.get_by_role("button", name=column).click()
        values = [told[name][figure] for name in names.all_inner_texts()]
        assert values == sorted(values)
    result.get_by_role("button", name="Class", exact=True).click()
    assert names.all_inner_texts() == sorted(told)


def test_a_cell_opens_exactly_its_pictures(visit: Visit, owner: Owner) -> None:
    wanted = [
        mistake["path"]
        for mistake in owner.mistakes(first_version(owner)["id"])
        if (mistake["split"], mistake["label"], mistake["prediction"]) == ("test", "bird", "fish")
    ]
    assert any(WRONG in path for path in wanted)
    result = opened(visit)
    cell = result.get_by_role("button", name="of bird, taken for fish")
    expect(cell).to_have_text(str(len(wanted)))
    cell.click()
    assert sorted(pictures(visit)) == sorted(wanted)


def test_the_matrix_before_is_the_base_and_opens_nothing(visit: Visit, owner: Owner) -> None:
    confusion = first_version(owner)["metrics"]["confusion"]["zero_shot"]
    result = opened(visit)
    result.get_by_role("button", name="Before", exact=True).click()
    cells = [int(text) for text in result.locator(".matrix td:not(:empty)").all_inner_texts()]
    assert cells == [count for row in confusion for count in row]
    expect(result.locator(".matrix button")).to_have_count(0)


def test_many_classes_are_a_list_of_mixups_that_opens_them_too(visit: Visit, owner: Owner) -> None:
    adapter = first_version(owner, MANY)
    held_out = [one for one in owner.mistakes(adapter["id"]) if one["split"] == "held-out"]
    assert held_out
    result = opened(visit, MANY)
    expect(result.locator(".matrix")).to_have_count(0)
    one = held_out[0]
    result.get_by_role("button", name=f"of {one['label']}, taken for {one['prediction']}").click()
    assert one["path"] in pictures(visit)


def test_all_mistakes_are_filtered_by_split_and_class_where_they_are_many(visit: Visit, owner: Owner) -> None:
    mistakes = owner.mistakes(first_version(owner, MANY)["id"])
    assert len(mistakes) >= 6
    opened(visit, MANY).get_by_role("button", name="Look at").click()
    said = next(one["prediction"] for one in mistakes if one["split"] == "held-out")
    dialog(visit).get_by_label("Pictures").select_option("held-out")
    dialog(visit).get_by_label("Taken for").select_option(said)
    assert sorted(pictures(visit)) == sorted(
        one["path"] for one in mistakes if (one["split"], one["prediction"]) == ("held-out", said)
    )


def test_a_change_is_undone_and_then_nothing_is_taught(visit: Visit) -> None:
    result = opened(visit)
    result.get_by_role("button", name="Look at").click()
    pick(visit, WRONG).check()
    dialog(visit).get_by_role("button", name="Remove", exact=True).click()
    expect(dialog(visit)).to_contain_text("1 change for the next version")
    dialog(visit).get_by_role("button", name="Undo the change of").click()
    expect(visit.button("Teach again")).to_have_count(0)


def test_mistakes_are_put_right_by_keyboard_and_make_the_next_version(visit: Visit, owner: Owner) -> None:
    boxes = Boxes(visit)
    boxes.module("tabs/teach/draft.js", "m.edit_dataset(given)", owner.test_dataset_id)
    visit.open("Adapters")
    result = opened(visit)
    result.get_by_role("button", name="of bird, taken for fish").focus()
    visit.page.keyboard.press("Enter")
    moved = [path for path in pictures(visit) if WRONG in path]
    for path in moved:
        pick(visit, path).focus()
        visit.page.keyboard.press("Space")
    dialog(visit).get_by_label("Move to class").select_option("fish")
    dialog(visit).get_by_role("button", name="Move", exact=True).focus()
    visit.page.keyboard.press("Enter")
    expect(dialog(visit).get_by_role("heading", name="for the next version")).to_contain_text(str(len(moved)))
    visit.page.keyboard.press("Escape")
    visit.button("Teach again").focus()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("tab", name="Teach", exact=True)).to_have_attribute("aria-selected", "true")
    job = visit.api("GET", "/jobs?limit=1")["items"][0]
    assert (job["name"], job["dataset_id"]) == (NAME, owner.dataset_id)
    assert visit.api("GET", f"/datasets/{job['test_dataset_id']}")["revision_of"] == owner.test_dataset_id
    images = visit.api("GET", f"/datasets/{job['test_dataset_id']}/images?limit=100")["items"]
    assert {image["label"] for image in images if image["path"] in moved} == {"fish"}
    visit.sees("as you have put them right")  # the boxes were of these pictures
    assert boxes.module("tabs/teach/draft.js", "m.draft.get().source.id") == job["test_dataset_id"]
    visit.open("Adapters")
    visit.sees("Version 2 answers", timeout=TRAINING_MS)
    visit.button(f"Result of version 2 of {NAME}").click()
    expect(visit.page.get_by_role("heading", name=f"{NAME}, version 2")).to_be_focused()
    before, after = first_version(owner)["metrics"], owner.get(f"/adapters/{NAME}@2")["metrics"]
    assert after["right"] >= before["right"] + len(moved)


def test_a_new_class_that_is_too_small_is_told_before_anything_is_taught(visit: Visit, owner: Owner) -> None:
    jobs = visit.api("GET", "/jobs?limit=100")["items"]
    opened(visit).get_by_role("button", name="Look at").click()
    pick(visit, WRONG).check()
    dialog(visit).get_by_label("Move to class").select_option("a new class …")
    dialog(visit).get_by_label("Name of the new class").fill("lonely")
    dialog(visit).get_by_role("button", name="Move", exact=True).click()
    expect(dialog(visit)).to_contain_text("bird → lonely")
    dialog(visit).get_by_role("button", name="Teach again").click()
    asked = visit.page.get_by_role("dialog", name="Some pictures would be left out")
    expect(asked).to_contain_text("lonely")
    asked.get_by_role("button", name="No, keep it").click()
    assert visit.api("GET", "/jobs?limit=100")["items"] == jobs


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_result_and_its_mistakes_are_accessible_and_fit_a_phone(
    visit: Visit, scheme: Literal["light", "dark"]
) -> None:
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    result = opened(visit)
    result.get_by_text("Where in the model").click()
    for size in (None, PHONE):
        if size:
            visit.page.set_viewport_size(size)
        assert violations(visit.page) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        visit.picture(f"result-{scheme}-{'phone' if size else 'desktop'}")
        result.get_by_role("button", name="Look at").click()
        pick(visit, WRONG).check()
        dialog(visit).get_by_role("button", name="Remove", exact=True).click()
        assert violations(visit.page) == []
        visit.picture(f"mistakes-{scheme}-{'phone' if size else 'desktop'}")
        visit.page.keyboard.press("Escape")
