"""The camera of the Try tab, and the small place to try that stands beside a finished result."""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import expect

from tests.fixtures.accessibility import violations
from tests.fixtures.browser import PHONE, needs_chromium
from tests.fixtures.trying import CLASSES, UNREADABLE, Trying, photo

pytestmark = needs_chromium
QUICK = """async ([modules, id]) => {
    const { QuickTry } = await import(`${modules}/parts/quick_try.js`);
    const { html, render } = await import(`${modules}/lib/preact.js`);
    const place = document.querySelector("#saft-teach .saft");
    place.innerHTML = "<h2>Beside a result</h2>";
    const part = place.appendChild(document.createElement("div"));
    render(html`<${QuickTry} adapter=${id} />`, part);
}"""


def test_the_camera_is_answered_frame_after_frame(trying: Trying) -> None:
    trying.button("Use the camera").click()
    live = trying.part("try").locator(".answer")
    expect(live).to_have_attribute("aria-busy", "false")
    held = trying.hold()
    trying.until(lambda: len(held) == 2)
    trying.page.wait_for_timeout(1000)
    assert len(held) == 2  # one frame, of the adapter and of the base: the next waits for its answer
    trying.let_go(held)
    trying.labels.fill("a clock, a plate")
    expect(live.locator(".answer-said strong")).to_have_text(re.compile("a clock|a plate"))
    expect(live).to_have_attribute("aria-busy", "false")
    trying.button("Keep this picture").click()
    expect(trying.tiles).to_have_count(1)
    assert violations(trying.page) == []
    trying.button("Stop the camera").click()
    trying.answered()


def test_the_camera_ends_with_the_tab(trying: Trying) -> None:
    trying.button("Use the camera").click()
    expect(trying.part("try").locator(".answer")).to_be_visible()
    trying.page.evaluate("window.tracks = document.querySelector('#saft-try video').srcObject.getTracks()")
    trying.open("Search")
    trying.until(lambda: trying.page.evaluate("tracks.every((track) => track.readyState === 'ended')"))
    trying.open("Try")
    trying.sees("Show it a picture")


def test_a_camera_that_may_not_be_used_says_so(trying: Trying) -> None:
    refuse = "() => { throw new DOMException('no', 'NotAllowedError'); }"
    trying.page.evaluate(f"() => {{ navigator.mediaDevices.getUserMedia = async {refuse}; }}")
    trying.button("Use the camera").click()
    trying.sees("The browser may not use the camera.")


def quick(trying: Trying) -> None:
    """The small place to try, in the Teach tab."""
    trying.open("Teach")
    trying.page.evaluate(QUICK, [trying.modules, trying.adapter["id"]])
    expect(trying.page.locator(".quick-try")).to_be_visible()


def test_a_result_is_tried_where_it_stands(trying: Trying) -> None:
    quick(trying)
    place = trying.page.locator(".quick-try")
    picture = photo(CLASSES[1])
    place.locator("input[type=file]").set_input_files(picture)
    (main,) = trying.asked([picture])["results"]
    (base,) = trying.asked([picture], "base")["results"]
    expect(place.locator(".answer-said strong")).to_have_text(main["predictions"][0]["label"])
    expect(place.locator(".answer-sentence")).to_contain_text(base["predictions"][0]["label"])
    place.locator("input[type=file]").set_input_files(UNREADABLE)
    expect(place.get_by_text("This file cannot be read.")).to_have_count(1)
    expect(place.locator(".answer")).to_have_count(0)
    place.get_by_role("button", name="Try more").click()
    expect(trying.page.get_by_role("tab", name="Try", exact=True)).to_have_attribute("aria-selected", "true")
    expect(trying.which).to_have_value(f"name:{trying.adapter['name']}")


def test_the_camera_beside_a_result_takes_one_picture(trying: Trying) -> None:
    quick(trying)
    place = trying.page.locator(".quick-try")
    place.get_by_role("button", name="Use the camera").click()
    expect(place.locator(".answer")).to_be_visible()
    place.get_by_role("button", name="Keep this picture").click()
    expect(place.locator("video")).to_have_count(0)
    expect(place.locator(".answer")).to_have_attribute("aria-busy", "false")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_small_place_is_accessible_and_fits_a_phone(trying: Trying, scheme: str) -> None:
    trying.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    quick(trying)
    trying.page.locator(".quick-try input[type=file]").set_input_files(photo(CLASSES[0]))
    expect(trying.page.locator(".quick-try .answer")).to_be_visible()
    assert violations(trying.page) == []
    trying.page.set_viewport_size(PHONE)
    assert violations(trying.page) == []
    assert trying.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    trying.picture(f"quick-try-{scheme}")
