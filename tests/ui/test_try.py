"""The Try tab in a real browser: pictures, and answers that follow every change of what is asked."""

from __future__ import annotations

import csv
import re

import pillow_heif
import pytest
from playwright.sync_api import FilePayload, expect

from tests.fixtures import samples
from tests.fixtures.accessibility import violations
from tests.fixtures.browser import PHONE, Visit, needs_chromium
from tests.fixtures.trying import CLASSES, CLASSIFY, OTHERS, UNREADABLE, Trying, enlarged, painted, photo

pillow_heif.register_heif_opener()  # of the tests alone: they write such files
pytestmark = needs_chromium


def same(bars: dict[str, tuple[int, int]], main: object, base: object) -> bool:
    """Whether bars show the probabilities of two answers of the interface."""
    told = [{one["label"]: one["probability"] for one in result["predictions"]} for result in (main, base)]  # type: ignore[index]
    return bool(bars) and all(
        abs(share - 100 * told[place][label]) <= 0.51 for label in told[0] for place, share in enumerate(bars[label])
    )


def test_the_page_says_what_the_interface_says(trying: Trying) -> None:
    picture = photo(CLASSES[2])
    trying.choose(picture)
    bars = trying.bars()
    (main,) = trying.asked([picture])["results"]
    (base,) = trying.asked([picture], "base")["results"]
    assert same(bars, main, base)
    expect(trying.answer.locator(".answer-said strong")).to_have_text(main["predictions"][0]["label"])
    expect(trying.answer.locator(".answer-sentence")).to_contain_text(f"“{base['predictions'][0]['label']}”")


def test_removing_a_picture_removes_its_answer(trying: Trying) -> None:
    trying.choose(photo(CLASSES[0]), photo(CLASSES[1]))
    expect(trying.tiles).to_have_count(2)
    trying.answered()
    trying.stage.get_by_role("button", name="Remove").click()
    expect(trying.stage.locator(".stage-name")).to_have_text(photo(CLASSES[1])["name"])
    trying.answered()
    trying.stage.get_by_role("button", name="Remove").click()
    trying.sees("Show it a picture")
    expect(trying.page.locator(".answer")).to_have_count(0)


def test_a_picture_that_is_removed_while_it_is_asked_about_leaves_nothing(trying: Trying) -> None:
    held = trying.hold()
    trying.choose(photo(CLASSES[0]))
    trying.until(lambda: len(held) == 2)
    trying.stage.get_by_role("button", name="Remove").click()
    trying.let_go(held)
    trying.choose(UNREADABLE)  # an answer after the one that was held back
    trying.sees("This file cannot be read.")
    expect(trying.page.locator(".answer")).to_have_count(0)


def test_labels_typed_while_a_request_runs_are_kept(trying: Trying) -> None:
    held = trying.hold()
    trying.choose(photo(CLASSES[2]))
    trying.until(lambda: len(held) == 2)
    trying.labels.fill("a bird, a car")
    trying.let_go(held)
    assert trying.bars().keys() == {"a bird", "a car"}
    expect(trying.labels).to_have_value("a bird, a car")


def test_an_older_answer_that_comes_later_is_never_shown(trying: Trying) -> None:
    trying.choose(photo(CLASSES[2]))
    before = trying.bars()
    given_up: list[str] = []
    trying.page.on("requestfailed", lambda request: given_up.append(request.failure or ""))
    held = trying.hold()
    trying.labels.fill("a bird, a car")
    trying.until(lambda: len(held) == 2)
    expect(trying.answer).to_have_attribute("aria-busy", "true")  # the old answer waits, and says so
    trying.sees("Asking anew")
    older = list(held)
    trying.labels.fill("a ship, a boat")
    trying.until(lambda: len(held) == 4)
    trying.let_go(held[2:])
    assert trying.bars().keys() == {"a ship", "a boat"}
    trying.let_go(older)
    trying.labels.fill("")
    assert trying.bars() == before
    assert len(given_up) == 2


def test_what_a_file_that_cannot_be_read_lacks_is_said_once_in_words(trying: Trying) -> None:
    trying.choose(photo(CLASSES[2]))
    trying.answered()
    trying.choose(UNREADABLE)
    expect(trying.page.get_by_text("This file cannot be read.")).to_have_count(1)
    expect(trying.stage).to_contain_text("It is not a picture, whatever its name says.")
    expect(trying.answer).to_have_count(0)
    expect(trying.tiles.nth(1)).to_contain_text("It is not a picture")
    expect(trying.tiles.nth(0)).to_contain_text("%")


def test_a_file_that_is_no_picture_is_refused_by_name(trying: Trying) -> None:
    trying.choose({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"x"})
    trying.sees("notes.txt is not a picture.")
    expect(trying.page.get_by_text("A zip belongs")).to_have_count(0)


def test_heic_is_shown_and_answered(trying: Trying) -> None:
    trying.choose(painted("phone.heic", "HEIF"))
    trying.answered()
    shown = trying.stage.get_by_role("img", name="phone.heic")
    trying.until(lambda: bool(shown.evaluate("image => image.naturalWidth > 100")))


def test_pictures_are_pasted_anywhere_on_the_page(trying: Trying) -> None:
    trying.page.bring_to_front()
    trying.page.evaluate("""async () => {
        const canvas = new OffscreenCanvas(64, 64);
        canvas.getContext("2d").fillRect(0, 0, 32, 64);
        const png = await canvas.convertToBlob({ type: "image/png" });
        await navigator.clipboard.write([new ClipboardItem({ "image/png": png })]);
    }""")
    trying.page.keyboard.press("Control+v")
    trying.answered()
    trying.labels.press("Control+v")  # a field has the focus
    expect(trying.tiles).to_have_count(2)
    expect(trying.labels).to_have_value("")


def test_pictures_are_dropped_anywhere_on_the_tab(trying: Trying) -> None:
    drop = """(target) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File(["x"], "broken.png", { type: "image/png" }));
        target.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
    }"""
    trying.which.evaluate(drop)
    trying.sees("This file cannot be read.")


def test_more_than_fifty_pictures_are_refused_in_words(trying: Trying) -> None:
    asked: list[str] = []
    trying.page.on("request", lambda request: asked.append(request.url) if request.url.endswith("/classify") else None)
    trying.choose(*(painted(f"{number}.png", colour=(number, 90, 90)) for number in range(53)))
    expect(trying.tiles).to_have_count(50)
    trying.sees("3 pictures were left out")
    expect(trying.button("Download answers (CSV)")).to_be_enabled()
    assert len(asked) == 2 * 4  # sixteen pictures at a time, of the adapter and of the base


def test_a_large_photograph_is_sent_smaller_and_means_the_same(trying: Trying) -> None:
    large = enlarged(photo(CLASSES[0]))
    trying.page.evaluate("""() => {
        const [ask, sent] = [window.fetch, (window.sent = [])];
        window.fetch = (url, options) => {
            if (url.endsWith("/classify")) sent.push(...options.body.getAll("files").map((file) => file.size));
            return ask(url, options);
        };
    }""")
    trying.choose(large)
    bars = trying.bars()
    sizes = trying.page.evaluate("sent")
    assert len(sizes) == 2
    assert max(sizes) < len(large["buffer"]) / 2
    (main,) = trying.asked([large])["results"]
    for one in main["predictions"]:
        assert bars[one["label"]][0] == pytest.approx(100 * one["probability"], abs=5)


def test_all_answers_are_downloaded_as_a_table(trying: Trying) -> None:
    hostile: FilePayload = photo(CLASSES[1]) | {"name": '=cmd, "x".webp'}
    pictures = [photo(CLASSES[0]), hostile, UNREADABLE]
    trying.choose(*pictures)
    with trying.page.expect_download() as download:
        trying.button("Download answers (CSV)").click()
    text = download.value.path().read_bytes().decode("utf-8-sig")
    assert text.count("\r\n") == text.count("\n") == 4
    rows = list(csv.DictReader(text.splitlines()))
    assert [row["file"] for row in rows] == [pictures[0]["name"], '\'=cmd, "x".webp', "holiday.png"]
    main, base = trying.asked(pictures[:2]), trying.asked(pictures[:2], "base")
    for row, result, before in zip(rows, main["results"], base["results"], strict=False):
        assert row["label"] == result["predictions"][0]["label"]
        assert row["base_label"] == before["predictions"][0]["label"]
        assert float(row["unknown"]) == pytest.approx(result["unknown"], abs=1e-4)
        for one in result["predictions"]:
            assert float(row[f"probability: {one['label']}"]) == pytest.approx(one["probability"], abs=1e-4)
    assert rows[2]["label"] == "" != rows[2]["error"]


def test_the_strength_changes_the_answer(trying: Trying) -> None:
    picture = photo(CLASSES[0])
    trying.choose(picture)
    own = trying.bars()
    trying.page.get_by_label("Strength").fill("0")
    trying.until(lambda: all(main == base for main, base in trying.bars().values()))
    trying.page.get_by_label("Strength").fill("1")
    (full,), (base,) = (trying.asked([picture], name, strength=1)["results"] for name in (None, "base"))
    trying.until(lambda: same(trying.bars(), full, base))
    trying.button("Back to its own", exact=False).click()
    trying.until(lambda: trying.bars() == own)


def test_the_prompt_changes_the_answer(trying: Trying) -> None:
    picture = photo(CLASSES[0])
    trying.choose(picture)
    trying.part("try").get_by_text("Prompt", exact=True).click()
    trying.page.get_by_label("The sentence around each label").fill("a drawing of a {}.\nthe {}")
    template = ["a drawing of a {}.", "the {}"]
    (main,), (base,) = (trying.asked([picture], name, template=template)["results"] for name in (None, "base"))
    trying.until(lambda: same(trying.bars(), main, base))


def test_a_question_that_is_refused_says_why_and_the_next_is_answered(trying: Trying) -> None:
    trying.choose(photo(CLASSES[0]))
    trying.answered()
    trying.part("try").get_by_text("Prompt", exact=True).click()
    trying.page.get_by_label("The sentence around each label").fill("no place for it")
    expect(trying.stage.get_by_role("alert")).to_contain_text("exactly once")
    expect(trying.answer).to_have_count(0)
    trying.button("Back to its own prompt").click()
    trying.answered()


def test_what_is_none_of_the_labels_is_said_to_be(trying: Trying) -> None:
    pictures = [photo(label, number) for label in (*OTHERS, CLASSES[2]) for number in (0, 1)]
    told = trying.asked(pictures)
    strange = [result["unknown"] > told["unknown_threshold"] for result in told["results"]]
    assert any(strange)
    assert not all(strange)
    trying.choose(*pictures)
    expect(trying.button("Download answers (CSV)")).to_be_enabled()
    for place, is_strange in enumerate(strange):
        trying.tiles.nth(place).locator(".shown-open").click()
        expect(trying.stage.get_by_text("Probably none of these")).to_have_count(int(is_strange))
        expect(trying.stage.get_by_text(re.compile("says? “"))).to_have_count(0 if is_strange else 1)
    trying.part("try").locator(".counts").get_by_role("button", name="none of these").click()
    expect(trying.tiles).to_have_count(sum(strange))
    trying.button(f"Show all {len(pictures)}").click()
    expect(trying.tiles).to_have_count(len(pictures))


def test_the_base_alone_answers_to_labels_that_are_typed(trying: Trying) -> None:
    picture = photo(CLASSES[2])
    trying.which.select_option("base")
    trying.choose(picture)
    trying.sees("Type a few labels to choose from")
    trying.labels.fill("bird, car")
    expect(trying.answer.locator(".answer-sentence")).to_have_text("The base says “bird”.")
    trying.which.select_option(f"name:{trying.adapter['name']}")
    assert trying.bars().keys() == {"bird", "car"}  # what was typed stays


def test_a_label_in_double_quotes_may_have_a_comma(trying: Trying) -> None:
    trying.choose(photo(CLASSES[0]))
    trying.labels.fill('"Flower, garden", it\'s "a" bird,"x, y" ')
    chosen_from = trying.page.get_by_role("list", name="What it chooses from").get_by_role("listitem")
    expect(chosen_from).to_have_text(["Flower, garden", 'it\'s "a" bird', "x, y"])
    assert trying.bars().keys() == {"Flower, garden", 'it\'s "a" bird', "x, y"}


def test_a_sample_picture_is_tried_with_one_click(trying: Trying) -> None:
    trying.page.get_by_role("button", name="Test picture").first.click()
    trying.answered()


def test_a_question_that_did_not_get_through_is_asked_again_by_itself(trying: Trying) -> None:
    trying.page.route(CLASSIFY, lambda route: route.abort(), times=2)
    trying.choose(photo(CLASSES[0]))
    trying.answered()
    expect(trying.stage.get_by_role("alert")).to_have_count(0)


def test_what_has_just_been_taught_is_what_is_tried(visit: Visit) -> None:
    archive = {"name": "a.zip", "mimeType": "application/zip", "buffer": samples.archive("train", CLASSES[:2])}
    data = visit.api("POST", "/datasets", multipart={"name": "two", "archive": archive})
    for _ in range(2):
        visit.page.evaluate(
            """async ([modules, id]) => (await import(`${modules}/lib/teaching.js`))
                .teach("two", id, { publish: "manual", config: { epochs: 1, evaluate: "none" } })""",
            [visit.modules, data["id"]],
        )
        visit.until(lambda: visit.api("GET", "/jobs")["items"][0]["status"] == "succeeded")
        newest = visit.api("GET", "/adapters")["items"][0]
        visit.open("Try")
        expect(visit.part("try").get_by_label("Adapter", exact=True)).to_have_value(newest["id"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_filled_it_is_accessible_and_fits_a_phone(trying: Trying, scheme: str) -> None:
    trying.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")  # type: ignore[arg-type]
    trying.reload()
    trying.choose(photo(OTHERS[1]), photo(CLASSES[1]), painted("phone.heic", "HEIF"), UNREADABLE)
    expect(trying.button("Download answers (CSV)")).to_be_enabled()
    for place in (0, 3):
        trying.tiles.nth(place).locator(".shown-open").click()
        trying.page.set_viewport_size({"width": 1280, "height": 900})
        assert violations(trying.page) == []
        trying.picture(f"try-{scheme}-{place}")
        trying.page.set_viewport_size(PHONE)
        assert violations(trying.page) == []
        assert trying.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        trying.picture(f"try-{scheme}-{place}-phone")
