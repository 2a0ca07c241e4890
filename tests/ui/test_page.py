"""The page in a real browser over the running product. SAFT_SCREENSHOTS names a folder for a picture of each tab."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.fixtures import samples
from tests.fixtures.server import Server
from tests.fixtures.service import Service
from ui.loading import Built
from ui.loading import Page as Loading

SCREENSHOTS = os.environ.get("SAFT_SCREENSHOTS")
CLASSES = samples.ALL_CLASSES if SCREENSHOTS else samples.CLASSES
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
QUIET = ["--no-sandbox", "--disable-gpu", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
ANSWER_MS = 30_000
TRAINING_MS = 300_000

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="NO CHROMIUM ON THIS MACHINE: the page is not tested; install the package 'chromium'"
)


class Visit:
    """A visitor's browser tab, in the words of the page."""

    def __init__(self, page: Page, service: Service) -> None:
        self.page = page
        self.service = service
        self.hosts: set[str] = set()
        page.set_default_timeout(ANSWER_MS)
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2] if "//" in request.url else ""))
        page.goto(service.url)

    def part(self, name: str) -> Locator:
        return self.page.locator(f"#saft-{name}")

    def fill(self, name: str, text: str) -> None:
        self.part(name).locator("input, textarea").first.fill(text)

    def open(self, tab: str) -> None:
        self.page.get_by_role("tab", name=tab).click()

    def sees(self, text: str, timeout: float = ANSWER_MS) -> None:
        expect(self.page.get_by_text(text).locator("visible=true").first).to_be_visible(timeout=timeout)

    def drop(self, name: str, *files: Path) -> None:
        self.part(name).locator("input[type=file]").set_input_files(list(files))

    def choose(self, name: str, option: str) -> None:
        self.part(name).locator("input").first.click()
        self.page.get_by_role("option", name=option).first.click()

    def make_key(self, name: str = "page tests") -> str:
        self.fill("admin-key", self.service.admin_key)
        self.fill("tenant", name)
        self.part("create-key").click()
        expect(self.part("new-key")).to_be_visible()
        return self.part("new-key").locator("input, textarea").first.input_value()

    def use_key(self, key: str) -> None:
        self.fill("key", key)
        self.part("use-key").click()
        self.sees("Your key works")

    def cookie(self) -> dict[str, Any]:
        return next((dict(kept) for kept in self.page.context.cookies() if kept["name"] == "saft_key"), {})

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + ANSWER_MS / 1000
        while not holds():
            assert time.monotonic() < deadline
            self.page.wait_for_timeout(50)

    def picture(self, name: str) -> None:
        if SCREENSHOTS:
            self.page.wait_for_timeout(700)  # animations
            self.page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"), full_page=True)


def archive(path: Path, split: str, *, broken: bool = False) -> Path:
    with zipfile.ZipFile(path, "w") as packed:
        for label, file in samples.labelled_files(split, CLASSES):
            packed.write(file, f"{split}/{label}/{file.name}")
        if broken:
            packed.writestr(f"{split}/{CLASSES[0]}/broken.png", b"this is no picture")
    return path


def count(split: str) -> int:
    return len(samples.labelled_files(split, CLASSES))


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=ANSWER_MS)
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Visit]:
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    yield Visit(context.new_page(), service)
    context.close()


def test_a_page_that_is_not_loaded_yet_comes_by_itself(browser: Browser) -> None:
    gate = threading.Event()

    def build() -> Built:
        assert gate.wait(ANSWER_MS / 1000)
        return Built(HTMLResponse("<h1>Here it is</h1>"), frozenset(), nullcontext)

    page, app = Loading(build), Starlette()
    page.live_in(app)
    app.router.routes.append(Route("/", page))
    with Server(app) as server:
        context = browser.new_context()
        tab = context.new_page()
        tab.goto(server.url)
        expect(tab.get_by_role("status")).to_contain_text("starting")
        gate.set()
        expect(tab.get_by_role("heading")).to_have_text("Here it is")
        context.close()


def test_from_a_key_to_running_code(visit: Visit, tmp_path: Path) -> None:
    key = visit.make_key()
    visit.picture("1-key")
    upload_and_look(visit, tmp_path)
    fine_tune(visit)
    try_an_image(visit)
    search(visit)
    run_the_code(visit, key, tmp_path)
    assert visit.hosts == {visit.service.url.split("/")[2]}


def upload_and_look(visit: Visit, folder: Path) -> None:
    visit.open("Images")
    visit.drop("drop", archive(folder / "samples-test.zip", "test"))
    expect(visit.part("dataset-facts")).to_have_text(f"{count('test')} images in {len(CLASSES)} classes")
    visit.drop("drop", archive(folder / "samples-train.zip", "train", broken=True))
    expect(visit.part("dataset-facts")).to_have_text(f"{count('train')} images in {len(CLASSES)} classes")
    visit.sees("1 file left out")
    visit.sees(f"{CLASSES[0]}/broken.png")
    visit.choose("shown-class", CLASSES[1])
    of_class = samples.of_class("train", CLASSES[1])
    expect(visit.part("thumbnails").locator(f"img[alt^='{CLASSES[1]}']")).to_have_count(len(of_class))
    visit.choose("shown-class", "all classes")
    for label in CLASSES:
        expect(visit.part("thumbnails").locator(f"img[alt^='{label}']").first).to_be_visible()
    visit.picture("2-images")


def fine_tune(visit: Visit) -> None:
    visit.open("Fine-tune")
    expect(visit.part("tune-dataset").locator("input")).to_have_value(re.compile("samples-train"))
    visit.choose("tune-test", "samples-test")
    visit.fill("adapter-name", "samples")
    visit.part("advanced").get_by_role("button").first.click()
    visit.fill("epochs", "20" if SCREENSHOTS else "4")
    visit.part("start").click()
    expect(visit.part("job-status").get_by_role("progressbar")).to_be_visible()
    expect(visit.part("cancel")).to_be_visible()
    if SCREENSHOTS:
        expect(visit.page.locator(".saft-line")).to_be_visible(timeout=TRAINING_MS)
    visit.picture("3-fine-tune-running")
    visit.page.reload()  # the running job is found again
    visit.open("Fine-tune")
    expect(visit.part("phase")).to_have_text("Done", timeout=TRAINING_MS)
    expect(visit.part("accuracy")).to_contain_text(f"Accuracy on {count('test')} images")
    expect(visit.part("accuracy").locator(".saft-after")).to_contain_text(re.compile(r"\d+\.\d%"))
    expect(visit.part("confusion").locator("tbody tr")).to_have_count(len(CLASSES))
    visit.part("side").get_by_text("zero-shot").click()
    expect(visit.part("confusion").locator("figcaption")).to_contain_text("Zero-shot")
    visit.part("side").get_by_text("adapted").click()
    expect(visit.part("confusion").locator("figcaption")).not_to_contain_text("Zero-shot")
    expect(visit.page.locator(".saft-line")).to_be_visible()
    visit.picture("3-fine-tune-done")


def try_an_image(visit: Visit) -> None:
    visit.open("Try")
    expect(visit.part("try-adapter").locator("input")).to_have_value(re.compile("samples"))
    visit.drop("try-image", samples.of_class("test", CLASSES[0])[0])
    for side in ("base", "adapted"):
        expect(visit.part(f"try-{side}")).to_contain_text(CLASSES[0].split("_")[0])
        expect(visit.part(f"try-{side}")).to_contain_text("%")
    visit.picture("4-try")
    visit.fill("try-labels", "red thing, blue thing")
    visit.part("try-go").click()
    expect(visit.part("try-adapted")).to_contain_text("red thing")


def search(visit: Visit) -> None:
    visit.open("Search")
    visit.fill("collection-name", "test samples")
    visit.part("create-collection").click()
    visit.sees("test samples is ready")
    files = [file for label in CLASSES for file in samples.of_class("test", label)[:3]]
    visit.drop("collection-files", *files)
    visit.sees(f"Added {len(files)} images")
    visit.fill("search-text", CLASSES[0])
    visit.part("search-go").click()
    expect(visit.part("results").locator("img")).to_have_count(12)
    scores = [float(text.split("·")[1]) for text in visit.part("results").locator("figcaption").all_inner_texts()]
    assert scores == sorted(scores, reverse=True)
    visit.picture("5-search")


def run_the_code(visit: Visit, key: str, folder: Path) -> None:
    visit.open("API")
    expect(visit.part("curl")).to_contain_text("/classify")
    visit.picture("6-api")
    assert key not in visit.part("curl").inner_text()
    visit.part("with-key").locator("input").check()
    for task in ("Classify an image", "Search a collection"):
        visit.choose("task", task)
        path = "/classify" if task.startswith("Classify") else "/retrieve"
        expect(visit.part("curl")).to_contain_text(path)
        expect(visit.part("curl")).to_contain_text(key)
        said = run(["bash"], code(visit, "curl"), folder)
        assert '"probability"' in said or '"score"' in said
        visit.page.get_by_role("tab", name="Python").click()
        expect(visit.part("python")).to_contain_text(path.replace("/", "client."))
        assert len(run([sys.executable], code(visit, "python"), folder).splitlines()) >= 2
        visit.page.get_by_role("tab", name="curl").click()


def code(visit: Visit, name: str) -> str:
    """What the editor holds: a line of code is a line of text, however it is wrapped on the screen."""
    return "\n".join(visit.part(name).locator(".cm-line").all_inner_texts()).replace("\u200b", "") + "\n"


def run(command: list[str], script: str, folder: Path) -> str:
    done = subprocess.run(command, input=script, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stderr}\n{script}"
    return done.stdout


def test_a_wrong_key_is_told_at_once(visit: Visit) -> None:
    visit.fill("key", "not a key")
    visit.part("use-key").click()
    expect(visit.page.get_by_role("alert")).to_contain_text("cut short when it was copied")


def test_without_a_key_the_other_tabs_say_what_is_missing(visit: Visit) -> None:
    visit.open("Images")
    visit.sees("This needs a key. Open the Key tab first.")
    visit.picture("no-key")
    visit.open("Key")
    visit.use_key(visit.service.new_tenant().headers["authorization"].removeprefix("Bearer "))
    visit.open("Images")
    visit.sees("There are no images yet")


def test_the_reference_shows_without_the_internet(visit: Visit) -> None:
    visit.page.goto(f"{visit.service.url}/docs")
    visit.sees("/datasets/{dataset_id}")
    visit.picture("docs")
    assert visit.hosts == {visit.service.url.split("/")[2]}


def test_a_key_is_kept_only_as_long_as_asked_for(visit: Visit) -> None:
    key = visit.make_key()
    cookie = visit.cookie()
    assert (cookie["value"], cookie["expires"]) == (key, -1)
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    visit.part("remember").locator("input").check()
    visit.until(lambda: visit.cookie()["expires"] > 0)
    visit.page.wait_for_function("() => localStorage.getItem('saft-remembered')")  # which follows the cookie
    everything = "() => JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie])"
    assert key not in visit.page.evaluate(everything)
    visit.page.reload()
    visit.sees("Drop a zip file or folders here")  # still signed in, and where one goes next
    visit.open("Key")
    expect(visit.part("key").locator("input")).to_have_value("")
    expect(visit.part("remember").locator("input")).to_be_checked()
    with visit.page.expect_navigation():  # the page starts afresh by itself, with nothing of the key's owner on it
        visit.part("forget-key").click()
    assert not visit.cookie()
    visit.sees("A key keeps your images and adapters apart")


def test_a_folder_is_packed_in_the_browser(visit: Visit, tmp_path: Path) -> None:
    visit.use_key(visit.make_key())
    visit.open("Images")
    with zipfile.ZipFile(archive(tmp_path / "some.zip", "test")) as packed:
        packed.extractall(tmp_path)
    with visit.page.expect_file_chooser() as chooser:
        visit.part("choose-folder").click()
    chooser.value.set_files(tmp_path / "test")
    expect(visit.part("dataset-facts")).to_have_text(f"{count('test')} images in {len(CLASSES)} classes")


def test_a_refused_upload_says_which_files_and_why(visit: Visit, tmp_path: Path) -> None:
    visit.make_key()
    visit.open("Images")
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr("cat/one.png", b"no picture")
        packed.writestr("cat/two.png", b"no picture either")
    visit.drop("drop", tmp_path / "bad.zip")
    expect(visit.page.get_by_role("alert")).to_contain_text("cat/one.png")
    expect(visit.part("drop").locator("input[type=file]")).to_have_count(1)  # ready for the next one


def test_a_running_fine_tune_can_be_cancelled(visit: Visit, tmp_path: Path) -> None:
    visit.make_key()
    visit.open("Images")
    visit.drop("drop", archive(tmp_path / "samples.zip", "train"))
    visit.sees("are ready")
    visit.open("Fine-tune")
    expect(visit.part("tune-dataset").locator("input")).to_have_value(re.compile("samples"))
    visit.fill("adapter-name", "never mind")
    visit.part("advanced").get_by_role("button").first.click()
    visit.fill("epochs", "500")
    visit.part("start").click()
    visit.part("cancel").click()
    expect(visit.part("phase")).to_have_text("Cancelled", timeout=TRAINING_MS)
    expect(visit.part("cancel")).not_to_be_visible()


@pytest.mark.parametrize("tab", ["Key", "Images", "Fine-tune", "Try", "Search", "API"])
def test_the_page_fits_a_phone(visit: Visit, tab: str) -> None:
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.make_key()
    visit.open(tab)
    visit.picture(f"phone-{tab}")
    assert visit.page.evaluate("() => document.documentElement.scrollWidth") <= 390
