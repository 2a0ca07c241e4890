"""`make screenshots`: use the page as a visitor does, and keep pictures of it in docs/screenshots.

Starts a service of its own on an empty folder. Makes one animated picture of the whole flow, and one of each tab in the
light and the dark scheme and on a phone.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.fixtures import samples
from tests.fixtures.browser import ARGUMENTS, CHROMIUM, DESKTOP, PHONE, TRAINING_MS
from tests.fixtures.service import Service
from tools.tour.film import Film

TABS = {"teach": "Teach", "try": "Try", "search": "Search", "adapters": "Adapters", "use": "Use it"}
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
FILM_SIZE: ViewportSize = {"width": 1180, "height": 760}
CLASSES = ("animal_with_hooves", "animal_with_paws", "household_item", "tool")


# Pictures below the fold are only fetched when they are scrolled to.
SHOW_ALL = """() => Promise.all([...document.images].map((image) => {
  image.loading = "eager";
  return image.complete || new Promise((done) => (image.onload = image.onerror = done));
}))"""


def main() -> None:
    """Make all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/screenshots"))
    folder = parser.parse_args().folder
    if CHROMIUM is None:
        sys.exit("no Chromium on this machine")
    folder.mkdir(parents=True, exist_ok=True)
    with running() as service, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        film_the_flow(browser, service.url, folder / "flow.gif")
        photograph_the_tabs(browser, service.url, folder)
        browser.close()


@contextmanager
def running() -> Iterator[Service]:
    """A service on an empty folder."""
    with tempfile.TemporaryDirectory() as data:
        service = Service(Path(data) / "data")
        service.start()
        service.until_page()
        yield service
        service.stop()


def film_the_flow(browser: Browser, url: str, target: Path) -> None:
    """From the empty page to the first answer on a picture of one's own."""
    page = browser.new_context(viewport=FILM_SIZE, locale="en-GB").new_page()
    opened(page, url)
    film = Film(page)
    film.hold(1.2)
    for number, label in enumerate(CLASSES, 1):
        page.get_by_label(f"Name of class {number}").fill(label.replace("_", " "))
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose pictures").nth(number - 1).click()
        chooser.value.set_files(samples.of_class("train", label)[:16])
        page.wait_for_timeout(900)
        film.hold(0.7)
    page.get_by_role("button", name="Teach it", exact=True).click()
    result = page.locator(".taught")
    while not result.is_visible():
        film.hold(0.15)
        page.wait_for_timeout(1000)
    expect(result).to_be_visible(timeout=TRAINING_MS)
    page.wait_for_timeout(800)
    film.hold(2.0)
    with page.expect_file_chooser() as chooser:
        page.locator(".quick-try").get_by_role("button", name="Choose a picture").click()
    chooser.value.set_files(samples.of_class("test", CLASSES[0])[0])
    expect(page.locator(".quick-try").get_by_text("%").first).to_be_visible()
    page.wait_for_timeout(1200)
    film.hold(3.0)
    film.save(target)


def photograph_the_tabs(browser: Browser, url: str, folder: Path) -> None:
    """Each tab as it is with something in it."""
    for scheme in SCHEMES:
        for device, size in (("desktop", DESKTOP), ("phone", PHONE)):
            page = browser.new_context(viewport=size, color_scheme=scheme, locale="en-GB").new_page()
            opened(page, url)
            for name, label in TABS.items():
                page.get_by_role("tab", name=label, exact=True).click()
                fill(page, name)
                page.wait_for_timeout(1500)
                page.evaluate(SHOW_ALL)
                page.wait_for_timeout(1000)
                page.screenshot(path=folder / f"{name}-{device}-{scheme}.png", full_page=True)
            page.context.close()


def fill(page: Page, tab: str) -> None:
    """Give a tab something to show."""
    if tab == "try":
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose pictures").locator("visible=true").first.click()
        chooser.value.set_files([samples.of_class("test", label)[1] for label in CLASSES])
    elif tab == "search":
        page.locator("#saft-search input").locator("visible=true").first.fill("a red flower")


def opened(page: Page, url: str) -> None:
    """The page, once it is signed in."""
    page.goto(url)
    page.wait_for_selector('body[data-saft="in"]')
    page.wait_for_timeout(1000)


if __name__ == "__main__":
    main()
