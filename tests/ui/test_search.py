"""The Search tab in a real browser: what is asked, what is shown, and that they belong together."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Error, Locator, Page, Request, Route, expect

from tests.fixtures.accessibility import violations
from tests.fixtures.browser import PHONE, Visit, needs_chromium, signed_in
from tests.fixtures.page import key_of
from tests.fixtures.samples import archive, of_class
from tests.fixtures.service import Service, finished

pytestmark = needs_chromium

CLASSES = ("bird", "building", "flower")
PAGE = 24
"""Pictures that are shown before "Show more"."""
FLOWER, BIRD = of_class("test", "flower")[0], of_class("test", "bird")[0]
DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => setTimeout(done))))"
CLOSENESS = "import('{modules}/tabs/search/closeness.js')"


@dataclass
class Owner:
    """Somebody with a dataset and an adapter of it."""

    http: httpx.Client
    dataset_id: str
    adapter_id: str

    def names(self, **question: Any) -> list[str]:
        """What the interface finds in the dataset, as the page shows it."""
        body = {"dataset_id": self.dataset_id, "adapter": self.adapter_id, "distinct": True, "top_k": PAGE} | question
        results = self.http.post("/retrieve", json=body).raise_for_status().json()["results"]
        return [match["filename"] for match in results]


@pytest.fixture(scope="module")
def owner(service: Service) -> Owner:
    http = service.new_tenant("searching")
    zipped = {"archive": ("photos.zip", archive("train", CLASSES))}
    dataset = http.post("/datasets", data={"name": "photos"}, files=zipped).raise_for_status().json()
    body = {"name": "photos", "dataset_id": dataset["id"], "config": {"epochs": 1, "evaluate": "none"}}
    job = finished(http, http.post("/adapters", json=body).raise_for_status().json())
    return Owner(http, dataset["id"], str(job["adapter_id"]))


@pytest.fixture
def visit(context: BrowserContext, service: Service, owner: Owner) -> Iterator[Visit]:
    """The owner's tab, with Search open."""
    visit = signed_in(context, service, key=key_of(owner.http))
    visit.open("Search")
    expect(tiles(visit.page)).to_have_count(PAGE)
    yield visit
    assert not visit.errors


@pytest.fixture
def newcomer(context: BrowserContext, service: Service) -> Iterator[Visit]:
    """Somebody with nothing yet, with Search open."""
    visit = signed_in(context, service)
    visit.open("Search")
    yield visit
    assert not visit.errors


def tiles(page: Page) -> Locator:
    return page.locator(".search-open")


def names(page: Page) -> list[str]:
    """The pictures that are shown, in their order."""
    labels = tiles(page).evaluate_all("them => them.map((one) => one.getAttribute('aria-label'))")
    return [label.removeprefix("Show “").removesuffix("” large") for label in labels]


def words(visit: Visit) -> Locator:
    return visit.page.get_by_label("Search for")


def by_file(visit: Visit, path: Path) -> None:
    visit.page.locator("#saft-search-picture + input").set_input_files(path)


def until_names(visit: Visit, expected: list[str]) -> None:
    """Wait until these are shown."""
    visit.until(lambda: names(visit.page) == expected)


def small(path: Path) -> str:
    """What the page sends of a file: it is made in the browser, so only near to this."""
    file = io.BytesIO()
    image = Image.open(path).convert("RGBA")
    image.thumbnail((512, 512))
    image.save(file, "WEBP", quality=80)
    return base64.b64encode(file.getvalue()).decode()


def asked(visit: Visit) -> list[dict[str, Any]]:
    """The searches that the page sends from now on, but for those that measure what is ordinary."""
    seen: list[dict[str, Any]] = []

    def note(request: Request) -> None:
        if request.url.endswith("/retrieve"):
            body = json.loads(request.post_data or "{}")
            if body["top_k"] == PAGE:
                seen.append(body)

    visit.page.on("request", note)
    return seen


# What is asked


def test_a_dataset_is_searched_by_words_without_a_second_upload(visit: Visit, owner: Owner) -> None:
    posts: list[str] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            posts.append(request.url.split("/api/")[1])

    visit.page.on("request", note)
    words(visit).fill("a red flower")
    until_names(visit, owner.names(text="a red flower"))
    visit.sees("The 24 closest pictures")
    assert set(posts) == {"retrieve"}


def test_a_picture_after_words_searches_by_the_picture(visit: Visit, owner: Owner) -> None:
    words(visit).fill("a building")
    until_names(visit, owner.names(text="a building"))
    seen = asked(visit)
    by_file(visit, FLOWER)
    visit.sees("Looks for what is like “mate-freshflower.webp”.")
    visit.until(lambda: names(visit.page)[:1] == owner.names(image=small(FLOWER))[:1])
    assert "text" not in seen[-1]
    assert seen[-1]["image"].startswith("data:image/webp;base64,")
    visit.button("and fits “a building”, too").click()
    expect(words(visit)).to_have_value("a building")
    visit.until(lambda: seen[-1].get("text_weight") == 0.5)
    visit.button("Search without the picture").click()
    until_names(visit, owner.names(text="a building"))


def test_words_and_a_picture_count_as_the_slider_says(visit: Visit, owner: Owner) -> None:
    visit.button("More like “bird/gcompris-animals-chicken.webp”").click()
    picture = {"image_id": "0"}
    until_names(visit, owner.names(**picture))
    words(visit).fill("a flower")
    both = picture | {"text": "a flower"}
    until_names(visit, owner.names(**both, text_weight=0.5))
    slider = visit.page.get_by_label("What counts more")
    slider.fill("1")
    until_names(visit, owner.names(**both, text_weight=1))
    visit.sees("words 100%, picture 0%")
    slider.fill("0.2")
    until_names(visit, owner.names(**both, text_weight=0.2))


def test_more_like_this_leaves_itself_out(visit: Visit, owner: Owner) -> None:
    tiles(visit.page).nth(3).click()
    name = names(visit.page)[3]
    dialog = visit.page.get_by_role("dialog")
    expect(dialog.get_by_role("heading", name=name)).to_be_visible()
    expect(dialog.get_by_text("bird", exact=True)).to_be_visible()  # its class
    dialog.get_by_role("button", name="More like this").click()
    expect(dialog).to_have_count(0)
    until_names(visit, owner.names(image_id="3"))
    assert name not in names(visit.page)


def test_a_picture_that_is_dropped_or_pasted_is_searched_by(visit: Visit) -> None:
    seen = asked(visit)
    visit.page.locator(".search-line").dispatch_event("drop", {"dataTransfer": transfer(visit, FLOWER)})
    visit.sees("Looks for what is like “mate-freshflower.webp”.")
    visit.until(lambda: len(seen) == 1)
    visit.page.evaluate(
        "clipboardData => document.dispatchEvent(new ClipboardEvent('paste', {clipboardData, cancelable: true}))",
        transfer(visit, BIRD),
    )
    visit.sees(f"Looks for what is like “{BIRD.name}”.")
    visit.until(lambda: len(seen) == 2 and seen[0]["image"] != seen[1]["image"])


def transfer(visit: Visit, *paths: Path) -> Any:
    """What a drop or a paste of files brings."""
    files = [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths]
    return visit.page.evaluate_handle(
        """async files => {
            const transfer = new DataTransfer();
            for (const [name, data] of files) {
                const blob = await (await fetch("data:image/webp;base64," + data)).blob();
                transfer.items.add(new File([blob], name, {type: "image/webp"}));
            }
            return transfer;
        }""",
        files,
    )


def test_a_file_that_is_no_picture_says_so_and_leaves_the_question(visit: Visit, tmp_path: Path) -> None:
    words(visit).fill("a flower")
    visit.sees("The 24 closest pictures")
    broken = tmp_path / "broken.jpg"
    broken.write_text("no picture")
    by_file(visit, broken)
    expect(visit.page.get_by_role("alert")).to_contain_text("broken.jpg")
    expect(words(visit)).to_have_value("a flower")


def test_another_adapter_or_other_words_are_asked_for_anew(visit: Visit, owner: Owner) -> None:
    words(visit).fill("a tower")
    until_names(visit, owner.names(text="a tower"))
    seen = asked(visit)
    visit.page.get_by_label("Adapter", exact=True).select_option("base")
    until_names(visit, owner.names(text="a tower", adapter="base"))
    visit.page.get_by_text("But not like").click()
    visit.page.get_by_label("Not like these words").fill("a church")
    until_names(visit, owner.names(text="a tower", negative_text="a church", adapter="base"))
    assert [body["adapter"] for body in seen] == ["base", "base"]


# What is shown


def test_an_answer_is_never_shown_for_another_question(visit: Visit, owner: Owner) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        body = json.loads(route.request.post_data or "{}")
        if body.get("text") in ("a flower", "a bird") and body["top_k"] == PAGE:
            held.append(route)
        else:
            route.continue_()

    visit.page.route("**/retrieve", hold)
    words(visit).fill("a flower")
    visit.until(lambda: len(held) == 1)
    words(visit).fill("a building")
    until_names(visit, owner.names(text="a building"))
    with suppress(Error):  # the page may have given it up
        held[0].continue_()
    visit.page.wait_for_timeout(700)
    assert names(visit.page) == owner.names(text="a building")
    words(visit).fill("a bird")
    assert names(visit.page) == []  # from the first letter on, not only when the next answer is there
    visit.until(lambda: len(held) == 2)
    held[1].continue_()
    until_names(visit, owner.names(text="a bird"))


def test_a_search_goes_on_by_itself_when_the_service_was_away(visit: Visit, owner: Owner) -> None:
    tries: list[str] = []

    def away_once(route: Route) -> None:
        tries.append(route.request.url)
        route.abort() if len(tries) == 1 else route.continue_()

    visit.page.route("**/retrieve", away_once)
    words(visit).fill("a flower")
    until_names(visit, owner.names(text="a flower"))
    assert len(tries) > 1


def test_pages_follow_one_another(visit: Visit, owner: Owner) -> None:
    words(visit).fill("a building")
    expect(tiles(visit.page)).to_have_count(PAGE)
    visit.button("Show more").click()
    expect(visit.button("Show more")).to_have_count(0)
    assert names(visit.page) == owner.names(text="a building", top_k=100)
    assert len(names(visit.page)) == len(set(names(visit.page))) > PAGE


def test_the_threshold_is_in_the_words_of_the_answers(visit: Visit) -> None:
    words(visit).fill("a flower")
    expect(tiles(visit.page)).to_have_count(PAGE)
    closeness = visit.page.locator(".closeness")
    told = closeness.all_inner_texts()
    assert {"very close", "not very similar"} <= {text.strip() for text in told}
    expect(closeness.first).to_have_attribute("title", re.compile(r"Cosine 0\.\d+"))
    visit.page.get_by_label("How close").fill("2")
    visit.sees("from “close” on")
    expect(visit.page.locator(".closeness", has_text="not very")).to_have_count(0)
    expect(tiles(visit.page).first).to_be_visible()
    assert {text.strip() for text in closeness.all_inner_texts()} <= {"very close", "close"}
    words(visit).fill("a tax form")
    visit.page.get_by_label("How close").fill("3")
    visit.sees("No picture is that close.")
    visit.button("Show all, however far").click()
    expect(tiles(visit.page)).to_have_count(PAGE)


def test_words_mean_the_same_for_words_and_for_pictures(visit: Visit) -> None:
    def shares() -> tuple[float, float]:
        """How many of the flowers, and of the others, are at least close."""
        visit.page.get_by_label("Hide near-duplicates").uncheck()
        expect(tiles(visit.page)).to_have_count(PAGE)
        visit.button("Show more").click()
        expect(visit.button("Show more")).to_have_count(0)
        levels = visit.page.locator(".search-tile .closeness").evaluate_all("them => them.map(e => +e.dataset.level)")
        flower = [name.startswith("flower/") for name in names(visit.page)]
        close = [level >= 2 for level in levels]
        inside = [near for near, is_flower in zip(close, flower, strict=True) if is_flower]
        outside = [near for near, is_flower in zip(close, flower, strict=True) if not is_flower]
        return sum(inside) / len(inside), sum(outside) / len(outside)

    words(visit).fill("a flower")
    flowers, others = shares()
    assert flowers > 0.5
    assert others < 0.1
    by_file(visit, FLOWER.with_name("stamps-flowers-flower5.webp"))
    visit.sees("Looks for what is like")
    flowers, others = shares()
    assert flowers > 0.5
    assert others < 0.1


def test_what_is_ordinary_is_known_from_the_best_of_many(visit: Visit) -> None:
    script = f"""({CLOSENESS.format(modules=visit.modules)}).then(({{ distribution }}) => {{
        let seed = 1;
        const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
        const normal = () => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
        const scores = [...Array(10000)].map(() => 0.2 + 0.03 * normal()).sort((a, b) => b - a);
        return [distribution(scores.slice(0, 1000), 10000), distribution(scores, 10000)];
    }})"""
    for found in visit.page.evaluate(script):
        assert found["middle"] == pytest.approx(0.2, abs=0.01)
        assert found["spread"] == pytest.approx(0.03, abs=0.005)


# Collections


def test_places_of_one_name_are_told_apart_by_when_they_were_made(visit: Visit) -> None:
    told = visit.page.evaluate(
        """async modules => {
            const { place_options } = await import(`${modules}/tabs/search/places.js`);
            const { t } = await import(`${modules}/lib/i18n.js`);
            const at = (minutes) => new Date(Date.now() - minutes * 60_000).toISOString();
            const place = (key, name, minutes) => ({ kind: "dataset", key, name, count: 4, created_at: at(minutes) });
            const places = [["1", "a", 5], ["2", "a", 65], ["3", "b", 5], ["4", "c", 3000], ["5", "c", 3100]];
            return place_options(t, places.map((one) => place(...one)));
        }""",
        visit.modules,
    )
    words = dict(told)
    assert words["1"] == "a: 4 pictures, taught with, 5 minutes ago"
    assert words["3"] == "b: 4 pictures, taught with"
    assert len(set(words.values())) == len(words)


def test_a_collection_is_made_filled_and_deleted(newcomer: Visit, tmp_path: Path) -> None:
    broken, text = tmp_path / "broken.png", tmp_path / "notes.txt"
    broken.write_text("no picture")
    text.write_text("none either")
    files = newcomer.page.locator("#saft-collection-files + input")
    files.set_input_files([*of_class("test", "bird")[:3], broken, text])
    newcomer.sees("3 pictures added to “Pictures 1”.")
    newcomer.sees("2 files left out")
    rejected = newcomer.page.locator(".rejected li")
    expect(rejected.filter(has_text="broken.png")).to_contain_text("image")
    expect(rejected.filter(has_text="notes.txt")).to_contain_text("no picture by its name")
    expect(newcomer.page.get_by_label("Where to search")).to_contain_text("Pictures 1: 3 pictures, collection")
    expect(tiles(newcomer.page)).to_have_count(3)
    row = newcomer.page.locator(".search-collections li")
    row.locator("input").set_input_files(of_class("test", "flower")[:2])
    newcomer.sees("2 pictures added to “Pictures 1”.")
    expect(row).to_contain_text("5 pictures")
    (made,) = newcomer.api("GET", "/collections")["items"]
    assert (made["name"], made["image_count"]) == ("Pictures 1", 5)

    spot = row.get_by_role("button", name="Delete").bounding_box()
    assert spot is not None
    for _ in range(2):  # the second click on the same spot asks, and deletes nothing
        newcomer.page.mouse.click(spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2)
    assert newcomer.api("GET", "/collections")["items"] == [made]
    newcomer.page.evaluate(DRAWN)
    if not newcomer.page.get_by_role("dialog").count():  # that click was beside the dialog, which closes it
        row.get_by_role("button", name="Delete").click()
    newcomer.page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    newcomer.sees("Nothing to search yet")
    assert newcomer.api("GET", "/collections")["items"] == []


def test_a_collection_of_nothing_usable_is_not_left_behind(newcomer: Visit, tmp_path: Path) -> None:
    broken = tmp_path / "broken.png"
    broken.write_text("no picture")
    newcomer.page.locator("#saft-collection-files + input").set_input_files(broken)
    newcomer.sees("1 file left out")
    newcomer.sees("0 pictures added")
    assert newcomer.api("GET", "/collections")["items"] == []


def test_pictures_are_dropped_into_a_collection_of_any_name(newcomer: Visit) -> None:
    newcomer.page.get_by_label("Name of the new collection").fill("<b>Möwen & $HOME</b>")
    dropped = transfer(newcomer, *of_class("test", "bird")[:2])
    newcomer.page.locator(".search-drop").dispatch_event("drop", {"dataTransfer": dropped})
    newcomer.sees("2 pictures added to “<b>Möwen & $HOME</b>”.")
    expect(tiles(newcomer.page)).to_have_count(2)
    tiles(newcomer.page).first.click()
    newcomer.button("Take out of the collection").click()
    newcomer.page.locator("dialog .button-danger").click()
    expect(tiles(newcomer.page)).to_have_count(1)
    assert newcomer.api("GET", "/collections")["items"][0]["image_count"] == 1


def test_near_duplicates_are_folded_unless_all_are_wanted(newcomer: Visit, tmp_path: Path) -> None:
    copy = tmp_path / "copy.png"  # other bytes, the same picture
    Image.open(FLOWER).save(copy)
    newcomer.page.locator("#saft-collection-files + input").set_input_files([FLOWER, copy, BIRD])
    newcomer.sees("3 pictures added")
    words(newcomer).fill("a flower")
    newcomer.sees("2 pictures, the closest first")
    expect(tiles(newcomer.page)).to_have_count(2)
    newcomer.page.get_by_label("Hide near-duplicates").uncheck()
    expect(tiles(newcomer.page)).to_have_count(3)
    assert set(names(newcomer.page)[:2]) == {FLOWER.name, "copy.png"}


def test_a_picture_of_one_place_is_looked_for_in_another(newcomer: Visit) -> None:
    zipped = {"name": "pictures.zip", "mimeType": "application/zip", "buffer": archive("train", ("bird", "flower"))}
    newcomer.api("POST", "/datasets", multipart={"name": "taught", "archive": zipped})
    newcomer.reload()
    newcomer.page.locator("#saft-collection-files + input").set_input_files([FLOWER, BIRD])
    newcomer.sees("2 pictures added")
    newcomer.button(f"More like “{FLOWER.name}”").click()
    expect(tiles(newcomer.page)).to_have_count(1)
    newcomer.page.get_by_label("Where to search").select_option(label="taught: 32 pictures, taught with")
    expect(tiles(newcomer.page)).to_have_count(PAGE)
    assert names(newcomer.page)[0].startswith("flower/")


def test_who_has_nothing_can_search_the_sample_pictures(newcomer: Visit) -> None:
    newcomer.sees("Nothing to search yet")
    assert violations(newcomer.page) == []
    newcomer.button("Take sample pictures").click()
    expect(tiles(newcomer.page)).to_have_count(PAGE)
    words(newcomer).fill("a bird")
    newcomer.sees("The 24 closest pictures")


# Access


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_is_found_is_accessible_and_fits_a_phone(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    visit.reload()
    expect(tiles(visit.page)).to_have_count(PAGE)
    assert violations(visit.page) == []
    visit.button("More like “bird/gcompris-animals-chicken.webp”").click()
    words(visit).fill("red")
    visit.page.get_by_text("But not like").click()
    visit.sees("The 24 closest pictures")
    expect(tiles(visit.page)).to_have_count(PAGE)
    assert violations(visit.page) == []
    visit.page.set_viewport_size(PHONE)
    assert violations(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visit.picture(f"search-phone-{scheme}")
    tiles(visit.page).first.click()
    assert violations(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_a_search_is_made_and_followed_by_keyboard(visit: Visit, owner: Owner) -> None:
    words(visit).focus()
    visit.page.keyboard.type("a flower")
    until_names(visit, owner.names(text="a flower"))
    expect(visit.page.locator(".saft-heard[role=status]")).to_contain_text("The 24 closest pictures")
    tiles(visit.page).first.focus()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("dialog")).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(visit.page.get_by_role("dialog")).to_have_count(0)
    expect(tiles(visit.page).first).to_be_focused()
