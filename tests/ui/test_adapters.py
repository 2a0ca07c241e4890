"""The Adapters tab in a real browser: versions that are published, compared and deleted, and their pictures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Locator, expect

from tests.fixtures.accessibility import violations
from tests.fixtures.browser import PHONE, Visit, needs_chromium
from tests.fixtures.service import Service
from tests.fixtures.taught import CLASSES, NAME, Owner, noise, owner_of_three_things

pytestmark = needs_chromium

CLASSES_OF_MANY, PICTURES_OF_EACH = 15, 80


@pytest.fixture(scope="module")
def owner(service: Service) -> Owner:
    """Has two versions of an adapter, of which the second is no better and not published."""
    owner = owner_of_three_things(service)
    for publish in ("auto", "if_better"):
        test = {"test_dataset_id": owner.test_dataset_id, "publish": publish}
        owner.teach(NAME, owner.dataset_id, config={"epochs": 1}, **test)
    return owner


@pytest.fixture
def visit(owner: Owner, browser: Browser) -> Iterator[Visit]:
    """The owner's page, at the Adapters tab."""
    for visit in owner.visits(browser):
        visit.open("Adapters")
        expect(card(visit)).to_be_visible()
        yield visit


def card(visit: Visit, name: str = NAME) -> Locator:
    return visit.page.get_by_role("article", name=name, exact=True)


def dialog(visit: Visit) -> Locator:
    return visit.page.get_by_role("dialog").first


def test_a_card_says_what_answers_how_well_and_of_which_classes(visit: Visit, owner: Owner) -> None:
    metrics = owner.get(f"/adapters/{NAME}")["metrics"]
    expect(card(visit)).to_contain_text("Version 1 answers")
    expect(card(visit)).to_contain_text(f"{metrics['right']} of {metrics['test_images']} right")
    expect(card(visit).locator(".adapter-share")).to_contain_text(f"{metrics['accuracy']:.0%}")
    assert card(visit).locator(".classes-of li").all_inner_texts() == list(CLASSES)


def test_a_newer_version_that_is_not_published_says_why(visit: Visit) -> None:
    newer = card(visit).get_by_role("listitem", name="Version 2")
    expect(newer).to_contain_text("Not published: no better than version 1")


def test_publish_and_roll_back_change_what_the_name_answers(visit: Visit, owner: Owner) -> None:
    visit.button(f"Publish version 2 of {NAME}").click()
    expect(card(visit)).to_contain_text("Version 2 answers")
    assert owner.get(f"/adapters/{NAME}")["version"] == 2
    visit.button(f"Roll back to this: version 1 of {NAME}").click()
    expect(card(visit)).to_contain_text("Version 1 answers")
    assert owner.get(f"/adapters/{NAME}")["version"] == 1


def test_every_choice_of_a_name_goes_with_what_is_published(visit: Visit, owner: Owner) -> None:
    first, second = (owner.get(f"/adapters/{NAME}@{version}")["id"] for version in (1, 2))
    visit.button(f"Publish version 2 of {NAME}").click()
    expect(card(visit)).to_contain_text("Version 2 answers")
    card(visit).get_by_role("button", name="Use it", exact=True).click()
    code = visit.page.locator("#saft-code code")
    expect(code).to_contain_text(NAME)
    assert f"{NAME}@" not in code.inner_text()
    visit.open("Adapters")
    visit.button(f"Roll back to this: version 1 of {NAME}").click()
    expect(card(visit)).to_contain_text("Version 1 answers")
    visit.open("Search")
    with visit.page.expect_request("**/retrieve") as asked:
        visit.page.get_by_label("Search for").fill("a bird")
    assert (asked.value.post_data_json or {})["adapter"] == first != second
    visit.open("Try")
    expect(visit.part("try").get_by_label("Adapter", exact=True)).to_have_value(f"name:{NAME}")
    visit.open("Use it")
    assert f"{NAME}@" not in code.inner_text()


def test_two_versions_are_compared_in_words(visit: Visit, owner: Owner) -> None:
    told = owner.get(f"/adapters/{NAME}@2/compare", params={"with": f"{NAME}@1"})
    card(visit).get_by_text("Compare two versions").click()
    visit.button("Compare them").click()
    said = card(visit).locator(".compare .note")
    expect(said).to_contain_text("Version 2 and version 1 are equally good")
    expect(said).to_contain_text(f"Of {told['images']} pictures version 2 gets {told['right']} right")
    card(visit).get_by_label("on", exact=True).select_option(owner.test_dataset_id)
    expect(said).to_have_count(0)  # it was about other pictures


def test_the_links_open_the_other_tabs(visit: Visit) -> None:
    for button, tab in (("Try", "Try"), ("Search with it", "Search"), ("Use it", "Use it")):
        visit.open("Adapters")
        card(visit).get_by_role("button", name=button, exact=True).click()
        expect(visit.page.get_by_role("tab", name=tab, exact=True)).to_have_attribute("aria-selected", "true")
    visit.open("Adapters")
    visit.button("Teach again with other pictures").click()
    expect(visit.page.get_by_role("tab", name="Teach", exact=True)).to_have_attribute("aria-selected", "true")


def test_a_result_is_opened_and_left(visit: Visit) -> None:
    visit.button(f"Result of version 2 of {NAME}").click()
    expect(visit.page.get_by_role("heading", name=f"{NAME}, version 2")).to_be_focused()
    visit.button("All adapters", exact=False).click()
    expect(card(visit)).to_be_visible()


def test_a_second_click_on_the_spot_of_delete_deletes_nothing(visit: Visit, owner: Owner) -> None:
    where = visit.button(f"Delete {NAME}", exact=True).bounding_box()
    assert where
    for _ in range(3):
        visit.page.mouse.click(where["x"] + where["width"] / 2, where["y"] + where["height"] / 2)
        visit.page.wait_for_timeout(200)
    assert owner.get(f"/adapters/{NAME}@2")["name"] == NAME


def test_a_version_is_deleted_after_a_question(visit: Visit, owner: Owner) -> None:
    third = owner.teach(NAME, owner.dataset_id, publish="manual", config={"epochs": 1, "evaluate": "none"})
    visit.reload()
    visit.button(f"Delete version 3 of {NAME}").click()
    expect(dialog(visit).get_by_role("button", name="No, keep it")).to_be_focused()
    dialog(visit).get_by_role("button", name="Delete", exact=True).click()
    expect(card(visit).get_by_role("listitem", name="Version 3")).to_have_count(0)
    assert owner.client.get(f"/adapters/{third['id']}").status_code == 404


def test_pictures_of_the_last_class_of_many_are_shown(visit: Visit, owner: Owner) -> None:
    many = owner.upload("many pictures", noise(CLASSES_OF_MANY, PICTURES_OF_EACH))
    assert owner.get(f"/datasets/{many}")["image_count"] == CLASSES_OF_MANY * PICTURES_OF_EACH == 1200
    visit.reload()
    visit.button("Look at the pictures of many pictures").click()
    last = f"class {CLASSES_OF_MANY - 1:02}"
    dialog(visit).get_by_label("Class").select_option(f"{last} ({PICTURES_OF_EACH})")
    images = dialog(visit).locator(".pictures img")
    expect(images.first).to_have_attribute("alt", f"{last}/000.png")
    assert images.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
    visit.button("Show more", exact=False).click()
    expect(images).to_have_count(PICTURES_OF_EACH)
    assert {image.get_attribute("alt").split("/")[0] for image in images.all()} == {last}  # type: ignore[union-attr]


def test_a_revision_names_what_it_was_made_of_and_is_deleted(visit: Visit, owner: Owner) -> None:
    answer = owner.client.post(f"/datasets/{owner.dataset_id}/revisions", json={"name": "changed", "remove": [0]})
    made = answer.raise_for_status().json()["id"]
    visit.reload()
    row = visit.page.locator(".dataset").filter(has=visit.page.get_by_role("heading", name="changed"))
    expect(row).to_contain_text(f"Changed from {NAME}")
    visit.button("Delete the data set changed").click()
    dialog(visit).get_by_role("button", name="Delete", exact=True).click()
    expect(row).to_have_count(0)
    assert owner.client.get(f"/datasets/{made}").status_code == 404


def test_who_has_nothing_is_invited_to_teach(service: Service, browser: Browser) -> None:
    for visit in Owner(service.new_tenant("nobody"), service).visits(browser):
        visit.open("Adapters")
        visit.sees("Nothing taught yet")
        assert violations(visit.page) == []
        visit.button("Teach something").click()
        expect(visit.page.get_by_role("tab", name="Teach", exact=True)).to_have_attribute("aria-selected", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_adapters_and_pictures_are_accessible_and_fit_a_phone(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    card(visit).get_by_text("Compare two versions").click()
    visit.button("Compare them").click()
    expect(card(visit).locator(".compare .note")).to_be_visible()
    for size in (None, PHONE):
        if size:
            visit.page.set_viewport_size(size)
        assert violations(visit.page) == []
        assert visit.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        visit.picture(f"adapters-{scheme}-{'phone' if size else 'desktop'}")
        visit.button(f"Look at the pictures of {NAME}", exact=True).click()
        expect(dialog(visit).locator(".pictures img").first).to_be_visible()
        assert violations(visit.page) == []
        visit.page.keyboard.press("Escape")
