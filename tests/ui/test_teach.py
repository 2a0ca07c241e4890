"""The Teach tab: from pictures to a first answer, and what goes on in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.fixtures import samples
from tests.fixtures.accessibility import violations
from tests.fixtures.boxes import Boxes, plain_picture
from tests.fixtures.browser import PHONE, TRAINING_MS, Visit, needs_chromium

pytestmark = needs_chromium

CAT, DOG = "animal_with_hooves", "bird"
LONG = 100_000  # epochs that no machine gets through while a test looks on


@pytest.fixture
def boxes(visit: Visit) -> Iterator[Boxes]:
    """Those of somebody new. A job that a failed test leaves would keep all others waiting."""
    yield Boxes(visit)
    for job in visit.api("GET", "/jobs")["items"]:
        if job["status"] in ("queued", "running"):
            visit.api("POST", f"/jobs/{job['id']}/cancel")


def fill_two(boxes: Boxes) -> None:
    """Two classes, named after what is in them."""
    for number, label in enumerate((CAT, DOG), 1):
        boxes.choose(f"Class {number}", samples.of_class("train", label)[:8])
        boxes.page.get_by_label(f"Name of class {number}").fill(label)


def statuses(boxes: Boxes) -> list[str]:
    """Of the visitor's jobs, newest first."""
    return [job["status"] for job in boxes.visit.api("GET", "/jobs")["items"]]


def until_taught(boxes: Boxes) -> None:
    """Wait for the result."""
    expect(boxes.page.locator(".taught")).to_be_visible(timeout=TRAINING_MS)


@pytest.mark.parametrize("viewport", ["desktop", "phone"])
def test_six_clicks_lead_to_the_first_answer_on_ones_own_pictures(boxes: Boxes, viewport: str) -> None:
    page, visit = boxes.page, boxes.visit
    if viewport == "phone":
        page.set_viewport_size(PHONE)
    page.evaluate("window.clicks = 0; addEventListener('pointerdown', () => (window.clicks += 1), true)")
    for number, label in enumerate(samples.CLASSES, 1):
        boxes.choose(f"Class {number}", samples.of_class("train", label)[:16])
    boxes.visit.picture(f"teach-{viewport}-filled")
    boxes.set(epochs=2)  # so that the suite is quick; nothing of it has to be set
    visit.button("Teach it").click()
    until_taught(boxes)
    with page.expect_file_chooser() as chooser:
        page.locator(".quick-try").get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files(samples.of_class("test", samples.CLASSES[0])[0])
    expect(page.locator(".quick-try").get_by_text("Class ").first).to_be_visible()
    assert page.evaluate("window.clicks") <= 6
    assert page.evaluate("document.documentElement.scrollWidth") <= page.evaluate("innerWidth")
    boxes.visit.picture(f"teach-{viewport}-taught")
    [adapter] = visit.api("GET", "/adapters")["items"]
    assert adapter["name"] == "Class 1, Class 2 and 2 more"
    assert len(adapter["classes"]) == 4


def test_the_sample_pictures_show_a_finished_example(boxes: Boxes) -> None:
    boxes.visit.sees("Teach it to tell your things apart")
    boxes.visit.button("Try with sample pictures").click()
    expect(boxes.page.get_by_role("heading", name="A finished example")).to_be_visible()
    expect(boxes.page.locator(".taught-result")).to_contain_text(" of ")
    expect(boxes.page.locator(".quick-try")).to_be_visible()
    expect(boxes.visit.button("Try with sample pictures")).to_have_count(0)
    samples_there = boxes.page.locator(".quick-try .sample")
    expect(samples_there).to_have_count(6)
    samples_there.first.click()
    expect(boxes.page.locator(".quick-try .answer-said")).to_be_visible()
    assert violations(boxes.page) == []
    boxes.visit.picture("teach-example")
    assert boxes.visit.api("GET", "/jobs")["items"] == []  # nothing had to be taught


def test_what_was_taught_is_changed_and_taught_again_without_sending_it_again(boxes: Boxes) -> None:
    fill_two(boxes)
    boxes.set(epochs=1)
    boxes.visit.button("Teach it").click()
    until_taught(boxes)
    boxes.page.emulate_media(reduced_motion="reduce")
    for scheme in ("light", "dark"):
        boxes.page.emulate_media(color_scheme=scheme)
        assert violations(boxes.page) == []
    assert boxes.module("tabs/teach/draft.js", "m.draft.get().source.images.length") == 16
    boxes.tiles(CAT).first.click()
    boxes.visit.button("Remove", exact=True).click()
    boxes.choose(DOG, samples.of_class("test", DOG)[:1])
    with boxes.page.expect_request(lambda request: request.url.endswith("/revisions")) as sent:
        boxes.visit.button("Teach it again").click()
    assert sent.value.method == "POST"
    boxes.visit.until(lambda: len(boxes.visit.api("GET", "/adapters")["items"]) == 2, TRAINING_MS)
    newest, before = boxes.visit.api("GET", "/adapters")["items"]
    assert (newest["name"], newest["version"], before["version"]) == (f"{CAT} and {DOG}", 2, 1)
    first, *_ = boxes.visit.api("GET", "/datasets")["items"]
    assert first["revision_of"]
    assert {one["name"]: one["count"] for one in first["classes"]} == {CAT: 7, DOG: 9}


def test_a_job_is_found_again_after_a_reload_cancelled_and_offered_again(boxes: Boxes) -> None:
    fill_two(boxes)
    boxes.set(epochs=LONG)
    boxes.visit.button("Teach it").click()
    expect(boxes.page.locator(".job-phase")).to_be_visible()
    boxes.visit.reload()
    expect(boxes.page.get_by_role("progressbar", name=f"Teaching {CAT} and {DOG}")).to_be_visible()
    boxes.count(CAT, 8)
    expect(boxes.page.locator(".job")).to_contain_text("Without teaching, this base gets", timeout=TRAINING_MS)
    boxes.visit.picture("teach-job")
    assert violations(boxes.page) == []
    boxes.page.evaluate("sessionStorage.removeItem(`saft-watched-${sessionStorage['saft-who']}`)")
    boxes.page.reload()  # the newest that is under way, whoever has started it
    boxes.visit.until_ready()
    boxes.visit.button("Cancel").click()
    boxes.visit.sees("You stopped it.")
    boxes.visit.button(f"Teach {CAT} and {DOG} once more").click()
    boxes.visit.button("Cancel").click()
    boxes.visit.sees("You stopped it.")
    assert statuses(boxes) == ["cancelled", "cancelled"]


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"status": "queued", "phase": "", "queue_position": 3}, "2 fine-tunes are before it."),
        ({"status": "queued", "phase": "", "queue_position": 1}, "Getting ready"),
        ({"status": "running", "phase": "refitting", "eta_seconds": 41}, "about 40 seconds left"),
        ({"status": "failed", "phase": "", "error": {"code": "x", "detail": "the disk is full"}}, "The disk is full."),
        ({"metrics": {"zero_shot_right": 3, "test_images": 30, "base_fit": "poor"}}, "hardly more than guessing"),
    ],
)
def test_a_job_is_told_in_words(boxes: Boxes, state: dict[str, object], words: str) -> None:
    job = {"id": "jo_1", "name": "pets", "status": "running", "phase": "training", "progress": 0.4, "losses": []}
    rest: dict[str, object] = {
        "eta_seconds": None,
        "metrics": None,
        "error": None,
        "config": {},
        "cancel_requested": False,
    }
    boxes.module("lib/teaching.js", "m.watched.set(given)", job | rest | state)
    expect(boxes.page.locator(".job")).to_contain_text(words)
    for scheme in ("light", "dark"):
        boxes.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(boxes.page) == []


def test_earlier_fine_tunes_are_told_by_what_came_of_them(boxes: Boxes) -> None:
    dataset = boxes.visit.api("POST", "/datasets", multipart=archive("train"))
    for name in ("first", "second"):
        order = {"name": name, "dataset_id": dataset["id"], "config": {"epochs": 1}}
        boxes.visit.api("POST", "/adapters", data=order)
    boxes.visit.until(lambda: statuses(boxes) == ["succeeded", "succeeded"], TRAINING_MS)
    boxes.visit.reload()
    boxes.page.get_by_text("2 earlier fine-tunes").click()
    row = boxes.page.locator(".earlier li").filter(has_text="first")
    expect(row).to_contain_text("Done")
    expect(row).to_contain_text("right (")
    row.get_by_role("button").click()
    expect(boxes.page.get_by_role("heading", name="first: this is what it learned")).to_be_visible()


@pytest.mark.parametrize(
    ("right", "before", "verdict"), [(8, 8, "all_right"), (8, 7, "all_few"), (7, 8, "too_few"), (7, 7, "too_few")]
)
def test_all_right_is_said_so_however_few(boxes: Boxes, right: int, before: int, verdict: str) -> None:
    metrics = {"verdict": "no_better", "too_few_to_tell": True, "test_images": 8, "right": right}
    given = {**metrics, "zero_shot_right": before}
    assert boxes.module("parts/result/verdict.js", "m.verdict_of(given)", given) == verdict


def archive(split: str) -> dict[str, object]:
    """An upload of the sample pictures."""
    zipped = {"name": "photos.zip", "mimeType": "application/zip", "buffer": samples.archive(split, (CAT, DOG))}
    return {"name": "photos", "archive": zipped}


def test_a_refused_file_is_marked_in_its_box_and_nothing_is_lost(boxes: Boxes, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"this is no picture")
    boxes.choose("Class 1", [*samples.of_class("train", CAT)[:4], broken])
    boxes.choose("Class 2", samples.of_class("train", DOG)[:4])
    marked = boxes.box("Class 1").locator(".tile-refused")
    expect(marked).to_have_count(1)  # before anything is sent
    boxes.visit.sees("Ready: 8 pictures in 2 classes.")
    assert "broken.png, in Class 1, left out: " in (marked.get_attribute("aria-label") or "")
    boxes.visit.sees("1 file left out")
    boxes.count("Class 1", 5)
    boxes.visit.button("Remove what was left out").click()
    boxes.count("Class 1", 4)


def test_an_upload_that_fails_says_why_and_keeps_the_pictures(boxes: Boxes, tmp_path: Path) -> None:
    for number in (1, 2):
        files = [tmp_path / f"{number}-{name}.png" for name in "ab"]
        for file in files:
            Image.new("RGB", (3, 1200)).save(file)  # browsers show it, and the service takes none so long
        boxes.choose(f"Class {number}", files)
    boxes.visit.button("Teach it").click()
    expect(boxes.page.locator(".teach-panel [role=alert]")).to_be_visible()
    expect(boxes.page.locator(".tile-refused")).to_have_count(4)
    boxes.visit.sees("Class 1 needs 2 more pictures.")
    expect(boxes.visit.button("Teach it")).to_be_disabled()


def test_what_is_missing_is_said_before_the_click(boxes: Boxes, tmp_path: Path) -> None:
    boxes.visit.sees("Put pictures into two classes")
    expect(boxes.visit.button("Teach it")).to_be_disabled()
    boxes.choose("Class 1", [plain_picture(tmp_path, "a.png", (255, 0, 0))])
    boxes.visit.sees("Put pictures into one more class.")
    boxes.visit.sees("Class 1 needs 1 more picture.")
    boxes.choose("Class 2", [plain_picture(tmp_path, f"{n}.png", (0, 0, n)) for n in range(2)])
    boxes.choose("Class 1", [plain_picture(tmp_path, "b.png", (250, 0, 0))])
    expect(boxes.visit.button("Teach it")).to_be_enabled()
    boxes.page.get_by_label("Name of class 2").fill("CLASS_1")
    boxes.visit.sees("Two classes are called")
    expect(boxes.visit.button("Teach it")).to_be_disabled()


def test_settings_are_closed_and_tell_what_the_base_does(boxes: Boxes) -> None:
    boxes.page.get_by_text("Names and settings").click()
    epochs = boxes.visit.api("GET", "/base")["training_defaults"]["epochs"]
    expect(boxes.page.get_by_label("Epochs")).to_have_attribute("placeholder", str(epochs))
    boxes.page.get_by_label("Epochs").fill("3")
    boxes.page.get_by_label("What may change").select_option("image")
    assert violations(boxes.page) == []
    config = boxes.module(
        "tabs/teach/sending.js", "m.config_of(given)", {"epochs": "3", "encoders": "image", "seed": ""}
    )
    assert config == {"epochs": 3, "encoders": "image"}


def test_the_pictures_of_an_adapter_are_filled_into_the_boxes(boxes: Boxes) -> None:
    dataset = boxes.visit.api("POST", "/datasets", multipart=archive("test"))
    boxes.visit.open("Try")
    boxes.module("tabs/teach/draft.js", "m.edit_dataset(given, 'hooves')", dataset["id"])
    expect(boxes.page.get_by_role("tab", name="Teach")).to_have_attribute("aria-selected", "true")
    boxes.count(CAT, len(samples.of_class("test", CAT)))
    image = boxes.tiles(CAT).first.locator("img")
    expect(image).to_have_js_property("complete", value=True)
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") > 0
    boxes.visit.sees("Nothing has changed since they were taught.")


def test_what_is_put_right_beside_a_result_is_right_in_the_boxes_and_can_be_undone(
    boxes: Boxes, tmp_path: Path
) -> None:
    dataset = boxes.visit.api("POST", "/datasets", multipart=archive("train"))
    count = len(samples.of_class("train", CAT))
    boxes.module("tabs/teach/draft.js", "m.edit_dataset(given)", dataset["id"])
    boxes.count(CAT, count)
    boxes.choose(DOG, [plain_picture(tmp_path, "unsent.png", (0, 200, 0))])
    position = boxes.visit.api("GET", f"/datasets/{dataset['id']}/images?limit=1")["items"][0]["position"]
    changes = {"relabel": [{"position": position, "label": DOG}]}
    revised = boxes.visit.api("POST", f"/datasets/{dataset['id']}/revisions", data=changes)
    boxes.module("tabs/teach/corrected.js", "m.follow_revisions(given)", {dataset["id"]: revised})
    boxes.visit.sees("as you have put them right")
    boxes.count(CAT, count - 1)
    boxes.count(DOG, count + 2)  # the picture that was not sent yet is among them
    assert boxes.module("tabs/teach/draft.js", "m.draft.get().source.id") == revised["id"]
    boxes.page.get_by_role("button", name="Undo").click()
    boxes.count(CAT, count)
    boxes.visit.button("Start over").click()
    boxes.page.get_by_role("dialog").get_by_role("button", name="Start over").click()
    expect(boxes.page.get_by_text("as you have put them right")).to_have_count(0)
