"""The page as a whole in a real browser: its frame, who is signed in, both schemes, both languages."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Route

from tests.fixtures.accessibility import violations
from tests.fixtures.browser import ANSWER_MS, PHONE, Visit, needs_chromium
from tests.fixtures.page import key_of
from tests.fixtures.server import Server
from tests.fixtures.service import Service
from ui.loading import Page as Loading
from ui.page import TABS

pytestmark = needs_chromium


def test_a_page_that_is_not_loaded_yet_comes_by_itself(browser: Browser) -> None:
    gate = threading.Event()

    def build() -> Starlette:
        assert gate.wait(ANSWER_MS / 1000)
        return Starlette(routes=[Route("/", lambda _: HTMLResponse("<h1>Here it is</h1>"))])

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


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("label", TABS.values())
def test_every_tab_is_accessible_and_fits_a_phone(visit: Visit, label: str, scheme: Literal["light", "dark"]) -> None:
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    visit.reload()
    visit.open(label)
    assert violations(visit.page) == []
    visit.page.set_viewport_size(PHONE)
    assert violations(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_nothing_comes_from_elsewhere(visit: Visit) -> None:
    for label in TABS.values():
        visit.open(label)
    visit.page.goto(f"{visit.service.url}/docs")
    visit.sees("/datasets/{dataset_id}")
    assert visit.hosts == {visit.service.url.split("/")[2]}


def test_whoever_started_the_service_is_signed_in_by_itself(context: BrowserContext, service: Service) -> None:
    visit = Visit(context.new_page(), service)
    visit.open()
    visit.sees("Signed in as this computer")
    visit.part("sign-out").click()
    visit.sees("Your key")  # and stays out until asked
    visit.page.get_by_label("Your key").fill("")
    visit.button("Sign in").click()
    visit.sees("This is no key that opens anything")
    assert violations(visit.page) == []
    visit.button("Go on as this computer").click()
    visit.sees("Signed in as this computer")


def test_two_tabs_of_one_browser_are_two_tenants(visit: Visit) -> None:
    other = Visit(visit.page.context.new_page(), visit.service)
    other.open()
    other.part("account").click()
    other.part("another").click()
    other.page.get_by_label("Your key").fill(key_of(visit.service.new_tenant("the other one")))
    other.button("Sign in").click()
    other.sees("Signed in as the other one")
    visit.page.reload()
    visit.sees("Signed in as page tests")
    assert visit.api("GET", "/usage")["name"] == "page tests"


def test_the_page_speaks_german_and_remembers_it(visit: Visit) -> None:
    visit.page.get_by_label("Language").select_option("de")
    expect(visit.page.get_by_role("tab", name="Anlernen")).to_be_visible()
    visit.page.reload()
    visit.sees("Angemeldet als")
    assert visit.page.evaluate("document.documentElement.lang") == "de"


def test_keys_are_made_renamed_and_revoked(visit: Visit) -> None:
    visit.part("account").click()
    visit.page.get_by_label("Name of the key").fill("a script")
    visit.button("Make a key").click()
    expect(visit.part("new-key")).to_contain_text("saft_")
    visit.button("Copy").click()
    expect(visit.button("Copied")).to_be_visible()
    assert visit.page.evaluate("navigator.clipboard.readText()") == visit.part("new-key").inner_text()
    visit.button("Rename “a script”").click()
    expect(visit.page.get_by_label("Name of the key").first).to_be_focused()
    visit.button("Cancel").click()
    visit.button("Rename “a script”").click()
    visit.page.get_by_label("Name of the key").first.fill("another script")
    visit.button("Save").click()
    visit.button("Revoke “another script”").click()
    visit.page.get_by_role("dialog").last.get_by_role("button", name="Revoke", exact=True).click()
    expect(visit.page.get_by_text("another script")).to_have_count(0)


def test_a_revoked_key_ends_at_the_sign_in_screen(visit: Visit) -> None:
    made = visit.api("POST", "/keys", data={"name": "second"})
    own = visit.api("GET", "/usage")["key_id"]
    headers = {"Authorization": f"Bearer {made['api_key']}"}
    assert visit.page.request.delete(f"{visit.service.url}/keys/{own}", headers=headers).ok
    visit.page.wait_for_timeout(1500)  # what a process remembers of a key
    visit.part("account").click()
    visit.sees("You were signed out")


def test_both_languages_have_the_same_words() -> None:
    def words(language: str) -> dict[str, object]:
        return dict(json.loads(Path("ui/static/strings", f"{language}.json").read_text(encoding="utf-8")))

    english, german = words("en"), words("de")
    assert english.keys() == german.keys()
    fields = re.compile(r"\{(\w+)\}")
    for key, text in english.items():
        assert set(fields.findall(str(text))) == set(fields.findall(str(german[key]))), key
