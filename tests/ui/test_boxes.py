"""The boxes of the Teach tab: how pictures come into them, are sorted, and stay."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.fixtures import samples
from tests.fixtures.accessibility import violations
from tests.fixtures.boxes import Boxes, picture_bytes, plain_picture
from tests.fixtures.browser import PHONE, Visit, needs_chromium
from tests.fixtures.page import key_of

pytestmark = needs_chromium

RED = (200, 0, 0)
LONGEST_MS = 200


@pytest.fixture
def boxes(visit: Visit) -> Boxes:
    """Those of somebody new."""
    return Boxes(visit)


def folder(root: Path, name: str, count: int = 3) -> Path:
    """A folder with so many pictures."""
    for number in range(count):
        plain_picture(root / name, f"{number}.png", (number, 0, 0))
    return root / name


def zipped(path: Path, names: Sequence[str], method: int = zipfile.ZIP_DEFLATED) -> Path:
    """A zip file of pictures that all differ."""
    with zipfile.ZipFile(path, "w", method) as packed:
        for number, name in enumerate(names):
            content = picture_bytes((number % 256, number // 256, 9)) if name.endswith(".png") else name.encode()
            packed.writestr(name, content)
    return path


def test_several_pictures_are_chosen_at_once_and_a_new_box_appears(boxes: Boxes, tmp_path: Path) -> None:
    boxes.choose("Class 1", samples.of_class("train", "bird")[:3])
    boxes.count("Class 1", 3)
    expect(boxes.page.locator(".class-box")).to_have_count(2)
    boxes.choose("Class 2", [plain_picture(tmp_path, "a.png", RED)])
    expect(boxes.page.locator(".class-box")).to_have_count(3)
    boxes.visit.button("+ Add a class").click()
    expect(boxes.page.locator(".class-box")).to_have_count(4)
    accept = boxes.box("Class 1").locator("input[type=file]").get_attribute("accept") or ""
    assert accept.startswith("image/*")  # a phone offers its gallery
    assert boxes.tiles("Class 1").first.locator("img").evaluate("(image) => image.decode()") is None
    boxes.tiles("Class 1").first.click()
    for scheme in ("light", "dark"):
        boxes.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        assert violations(boxes.page) == []
    boxes.page.set_viewport_size(PHONE)
    boxes.page.evaluate("scrollTo(0, 0)")
    expect(boxes.page.locator(".toolbar")).to_be_in_viewport()  # it sticks to the window's lower edge
    assert violations(boxes.page) == []
    assert boxes.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_folders_dropped_anywhere_are_classes(boxes: Boxes, tmp_path: Path) -> None:
    folder(tmp_path / "all", "cat"), folder(tmp_path / "all", "dog", 2)
    (tmp_path / "all" / "notes.txt").write_text("no picture")
    boxes.drop(boxes.page.locator(".teach-panel"), [tmp_path / "all"])
    boxes.count("cat", 3)
    boxes.count("dog", 2)
    boxes.visit.sees("1 file is no picture")
    boxes.drop(boxes.page.locator(".teach-panel"), [folder(tmp_path, "cat", 1), folder(tmp_path, "fish", 1)])
    boxes.count("cat", 4)  # a class of this name is there
    boxes.count("fish", 1)


def test_loose_pictures_dropped_beside_the_boxes_are_a_new_class(boxes: Boxes, tmp_path: Path) -> None:
    pictures = [plain_picture(tmp_path, f"{n}.png", (n, 0, 0)) for n in range(2)]
    boxes.choose("Class 1", pictures[:1])
    boxes.drop(boxes.page.locator(".teach-panel"), pictures)
    boxes.count("Class 2", 2)
    boxes.visit.sees("2 pictures lay in no folder")
    boxes.drop(boxes.box("Class 1"), pictures)
    boxes.count("Class 1", 3)


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED])
def test_a_zip_fills_the_boxes_and_is_read_where_it_lies(boxes: Boxes, tmp_path: Path, method: int) -> None:
    names = ["set/Kätzchen/1.png", "set/Kätzchen/2.png", "set/dog/1.png", "__MACOSX/set/dog/._1.png", "set/.DS_Store"]
    boxes.drop(boxes.page.locator(".teach-panel"), [zipped(tmp_path / "set.zip", names, method)])
    boxes.count("Kätzchen", 2)
    boxes.count("dog", 1)
    image = boxes.tiles("dog").first.locator("img")
    assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 24
    plan = f"m.plan_of((await import('{boxes.visit.modules}/tabs/teach/draft.js')).draft.get())"
    paths = boxes.module("tabs/teach/model.js", f"{plan}.files.map((one) => one.path)")
    assert paths == ["Kätzchen/1.png", "Kätzchen/2.png", "dog/1.png"]


def test_a_zip_whose_folders_say_what_they_are_for_is_sorted_by_the_service(boxes: Boxes, tmp_path: Path) -> None:
    names = [f"{split}/{label}/{n}.png" for split in ("train", "test") for label in ("cat", "dog") for n in range(3)]
    with boxes.page.expect_file_chooser() as chooser:
        boxes.visit.button("Choose a zip").click()
    chooser.value.set_files(zipped(tmp_path / "split.zip", names))
    boxes.count("cat", 3)
    boxes.visit.sees("It came with pictures to test on")
    train, test = sorted(boxes.visit.api("GET", "/datasets")["items"], key=lambda one: len(one["name"]))
    assert (train["name"], test["name"]) == ("split", "split (test)")
    assert boxes.module("tabs/teach/draft.js", "m.draft.get().test_dataset_id") == test["id"]


def test_a_folder_with_a_labels_file_is_sorted_by_the_service(boxes: Boxes, tmp_path: Path) -> None:
    folder(tmp_path, "pets", 4)
    lines = ["file,label", *(f"{n}.png,{'cat' if n % 2 else 'dog'}" for n in range(4))]
    (tmp_path / "pets" / "labels.csv").write_text("\n".join(lines))
    boxes.drop(boxes.page.locator(".teach-panel"), [tmp_path / "pets"])
    boxes.count("cat", 2)
    boxes.count("dog", 2)


def test_a_broken_zip_says_so_and_changes_nothing(boxes: Boxes, tmp_path: Path) -> None:
    whole = zipped(tmp_path / "whole.zip", ["cat/1.png", "dog/1.png"]).read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[:-40])
    boxes.drop(boxes.page.locator(".teach-panel"), [tmp_path / "cut.zip"])
    boxes.visit.sees("This zip file is broken")
    assert boxes.page.locator(".tile").count() == 0


@pytest.mark.parametrize("flaw", ["count", "offset", "size"])
def test_a_zip_that_lies_about_itself_is_broken(boxes: Boxes, flaw: str) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("cat/1.png", b"x" * 5000)
    content = bytearray(file.getvalue())
    end, entry = content.rindex(b"PK\5\6"), content.rindex(b"PK\1\2")
    at, value = {"count": (end + 10, 9), "offset": (entry + 42, 77), "size": (entry + 24, 100)}[flaw]
    content[at : at + 2] = value.to_bytes(2, "little")
    read = "m.read_zip(zip).then((entries) => m.unzip(zip, entries[0])).then(() => 'read', (error) => error.code)"
    lies = f"await ((zip) => {read})(new Blob([new Uint8Array(given)]))"
    assert boxes.module("lib/zip.js", lies, list(content)) == "zip_broken"


def test_pictures_survive_a_reload_with_their_names_and_thumbnails(boxes: Boxes, tmp_path: Path) -> None:
    boxes.choose("Class 1", [plain_picture(tmp_path, "a.png", RED)])
    boxes.drop(boxes.page.locator(".teach-panel"), [zipped(tmp_path / "z.zip", ["cat/1.png", "dog/1.png"])])
    boxes.page.get_by_label("Name of class 1").fill("red things")
    boxes.count("dog", 1)
    boxes.page.wait_for_timeout(1500)  # until it is written
    boxes.visit.reload()
    boxes.count("red things", 1)
    for label in ("red things", "dog"):
        image = boxes.tiles(label).first.locator("img")
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 24
    boxes.visit.button("Start over").click()
    boxes.page.get_by_role("dialog").get_by_role("button", name="Start over").click()
    expect(boxes.page.locator(".tile")).to_have_count(0)
    boxes.visit.button("Undo", exact=False).click()
    boxes.count("red things", 1)


def test_nothing_of_one_visitor_is_left_for_the_next(boxes: Boxes, tmp_path: Path) -> None:
    boxes.choose("Class 1", [plain_picture(tmp_path, "a.png", RED)])
    boxes.count("Class 1", 1)
    boxes.page.wait_for_timeout(1500)  # until it is written
    mine = boxes.page.evaluate("sessionStorage.getItem('saft-who')")
    key = key_of(boxes.visit.service.new_tenant("the next one"))
    boxes.module("lib/session.js", "m.sign_in(given, false)", key)
    boxes.visit.sees("Signed in as the next one")
    expect(boxes.page.locator(".class-box")).to_have_count(2)
    expect(boxes.page.locator(".tile")).to_have_count(0)
    boxes.page.evaluate("(who) => sessionStorage.setItem('saft-who', who)", mine)
    boxes.visit.reload()
    boxes.count("Class 1", 1)


def test_pictures_are_dragged_to_another_class_and_each_step_is_undone(boxes: Boxes, tmp_path: Path) -> None:
    boxes.choose("Class 1", [plain_picture(tmp_path, f"{n}.png", (n, 0, 0)) for n in range(3)])
    boxes.tiles("Class 1").first.drag_to(boxes.box("Class 2"))
    boxes.count("Class 1", 2)
    boxes.count("Class 2", 1)
    boxes.tiles("Class 1").nth(0).click()
    boxes.tiles("Class 1").nth(1).click()
    boxes.tiles("Class 1").nth(1).drag_to(boxes.box("Class 2"))  # all that are selected
    boxes.count("Class 2", 3)
    boxes.page.keyboard.press("Control+z")
    boxes.count("Class 2", 1)
    boxes.visit.button("Undo", exact=False).click()
    boxes.count("Class 1", 3)
    boxes.page.keyboard.press("Control+z")
    expect(boxes.page.locator(".tile")).to_have_count(0)


def test_pictures_are_moved_and_removed_by_keyboard(boxes: Boxes, tmp_path: Path) -> None:
    boxes.choose("Class 1", [plain_picture(tmp_path, f"{n}.png", (n, 0, 0)) for n in range(3)])
    boxes.tiles("Class 1").first.focus()
    press = boxes.page.keyboard.press
    press("Enter")
    press("ArrowRight")
    press("Space")
    boxes.visit.sees("2 selected")
    boxes.visit.button("Move to …").press("Enter")
    boxes.page.get_by_role("dialog").get_by_role("button", name="Class 2").press("Enter")
    boxes.count("Class 2", 2)
    boxes.tiles("Class 2").first.press("Enter")
    boxes.visit.button("Remove", exact=True).press("Enter")
    boxes.count("Class 2", 1)
    expect(boxes.page.locator(".toolbar")).to_have_count(0)
    boxes.tiles("Class 2").first.press("Enter")
    press("Escape")
    expect(boxes.page.locator(".toolbar")).to_have_count(0)
    boxes.tiles("Class 2").first.press("Enter")
    press("Delete")
    boxes.count("Class 2", 0)


def test_the_camera_takes_pictures_while_its_button_is_held(boxes: Boxes) -> None:
    boxes.visit.button("Camera for Class 1").click()
    hold = boxes.visit.button("Hold to take pictures")
    expect(hold).to_be_enabled()
    hold.hover()
    boxes.page.mouse.down()
    expect(boxes.visit.part("camera-count")).to_contain_text("3 pictures taken")
    boxes.page.mouse.up()
    hold.press("Space")
    assert violations(boxes.page) == []
    boxes.page.keyboard.press("Escape")
    expect(boxes.page.locator("video")).to_have_count(0)
    assert boxes.tiles("Class 1").count() >= 3
    boxes.page.keyboard.press("Control+z")
    expect(boxes.page.locator(".tile")).to_have_count(0)


def test_over_a_thousand_pictures_every_class_shows_its_own_and_nothing_blocks(boxes: Boxes, tmp_path: Path) -> None:
    observe = f"""window.slow = []; new PerformanceObserver((list) => list.getEntries().forEach((frame) =>
        frame.scripts.filter((one) => one.sourceURL.includes('/page/static/') && one.duration > {LONGEST_MS})
        .forEach((one) => window.slow.push(`${{one.invoker}} ${{one.sourceURL}} ${{one.duration}}`))))
        .observe({{type: 'long-animation-frame'}})"""
    boxes.page.evaluate(observe)
    names = [f"class {c}/{n}.png" for c in range(8) for n in range(150)]
    boxes.drop(boxes.page.locator(".teach-panel"), [zipped(tmp_path / "many.zip", names, zipfile.ZIP_STORED)])
    for number in range(8):
        boxes.count(f"class {number}", 150)
        image = boxes.tiles(f"class {number}").first.locator("img")
        image.scroll_into_view_if_needed()
        assert image.evaluate("(image) => image.decode().then(() => image.naturalWidth)") == 24
    boxes.visit.button("Show all 150").first.click()
    expect(boxes.tiles("class 0")).to_have_count(150)
    assert boxes.page.evaluate("window.slow") == []
