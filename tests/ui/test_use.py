"""The Use tab in a real browser: its code, run as it is pasted, and its files."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import httpx
import pytest
from PIL import Image
from playwright.sync_api import BrowserContext, Dialog, Locator, Route, expect

from tests.fixtures.accessibility import violations
from tests.fixtures.browser import PHONE, TRAINING_MS, Visit, needs_chromium, signed_in
from tests.fixtures.page import key_of
from tests.fixtures.samples import of_class
from tests.fixtures.service import Service, finished

pytestmark = needs_chromium

NASTY = """it's "<KEY>" $(touch hacked) `id` \\ ${HOME} {} é 你"""
TEXT = """it's "a" $(touch hacked) \\ é"""
LABELS = [TEXT, "`id` ${HOME} 你", "a cat", "@file", "</script>"]
TASKS = {
    "classify": "Classify a picture",
    "own_labels": "With labels of your own",
    "search": "Search",
    "tune": "Fine-tune",
    "embed": "Embeddings",
}
NODE = shutil.which("node")
WITHOUT_TRAINING = [task for task in TASKS if task != "tune"]
RUN_SECONDS = 240


@dataclass
class Owner:
    """Somebody with an adapter of a troublesome name, whose second version is not published."""

    http: httpx.Client
    adapter_id: str
    second_id: str

    @property
    def key(self) -> str:
        return key_of(self.http)


def small_archive() -> bytes:
    """A few small pictures, so that a fine-tune takes moments."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as packed:
        for label in ("bird", "flower"):
            for path in of_class("train", label)[:4]:
                small = io.BytesIO()
                Image.open(path).convert("RGB").resize((64, 64)).save(small, "PNG")
                packed.writestr(f"{label}/{path.stem}.png", small.getvalue())
    return file.getvalue()


@pytest.fixture(scope="module")
def owner(service: Service) -> Owner:
    http = service.new_tenant("using")
    zipped = {"archive": ("photos.zip", small_archive())}
    dataset = http.post("/datasets", data={"name": NASTY}, files=zipped).raise_for_status().json()
    body = {"name": NASTY, "dataset_id": dataset["id"], "config": {"epochs": 1, "evaluate": "none"}}
    first = finished(http, http.post("/adapters", json=body).raise_for_status().json())
    second = finished(http, http.post("/adapters", json=body | {"publish": "manual"}).raise_for_status().json())
    return Owner(http, str(first["adapter_id"]), str(second["adapter_id"]))


@pytest.fixture
def visit(context: BrowserContext, service: Service, owner: Owner) -> Iterator[Visit]:
    """The owner's tab, with Use open and the published version chosen by itself."""
    visit = signed_in(context, service, key=owner.key)
    visit.open("Use it")
    expect(code(visit)).to_contain_text("datasets/ds_")
    # What was taught last chooses itself, and the code for a fine-tune is run here too.
    visit.page.get_by_label("Adapter", exact=True).select_option(f"name:{NASTY}")
    yield visit
    assert not visit.errors


@pytest.fixture
def newcomer(context: BrowserContext, service: Service) -> Iterator[Visit]:
    """Somebody with nothing yet, with Use open."""
    visit = signed_in(context, service)
    visit.open("Use it")
    yield visit
    assert not visit.errors


def code(visit: Visit) -> Locator:
    return visit.page.locator("#saft-code code")


def written(visit: Visit, language: str, task: str) -> str:
    """The code for it."""
    visit.page.get_by_role("radio", name=TASKS[task], exact=True).check(force=True)
    visit.page.get_by_role("radio", name=language, exact=True).check(force=True)
    if task == "own_labels":
        visit.page.get_by_role("textbox", name="Labels").fill(", ".join(LABELS))
    if task in ("search", "embed"):
        visit.page.get_by_role("textbox", name="Text", exact=True).fill(TEXT)
    return str(code(visit).evaluate("element => element.textContent"))


def run(command: list[str], script: str, key: str, folder: Path) -> str:
    """What it prints, as somebody who has nothing but the key in the environment."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SAFT_")}
    ran = subprocess.run(
        command,
        input=script,
        text=True,
        capture_output=True,
        cwd=folder,
        env=environment | ({"SAFT_API_KEY": key} if key else {}),
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr + script
    assert not (folder / "hacked").exists()
    return ran.stdout


def new_adapters(owner: Owner) -> set[str]:
    """Names of those that snippets have made."""
    items = owner.http.get("/adapters").json()["items"]
    return {item["name"] for item in items if item["name"].startswith("my-adapter-")}


def right(task: str, printed: str) -> bool:
    """Whether it is what a task ends with."""
    expected = {
        "classify": ["bird", "flower"],
        "own_labels": [],
        "search": [".png"],
        "tune": ["ad_"],
        "embed": ["numbers:"],
    }
    if task == "own_labels" and not any(label in printed for label in LABELS[2:]):
        return False  # at least one of these is among the best three of five
    return all(word in printed for word in expected[task])


def test_curl_runs_as_pasted(visit: Visit, owner: Owner, tmp_path: Path) -> None:
    before = new_adapters(owner)
    for task in TASKS:
        printed = run(["bash", "-e"], written(visit, "curl", task), owner.key, tmp_path)
        if task == "tune":
            assert '"status":"succeeded"' in printed
        elif task == "embed":
            assert len(json.loads(printed)["data"]) == 1
        else:
            assert right(task, printed), printed
    labels = {guess["label"] for guess in json.loads(label_answer(visit, owner, tmp_path))["results"][0]["predictions"]}
    assert labels < set(LABELS)
    assert len(new_adapters(owner) - before) == 1


def label_answer(visit: Visit, owner: Owner, folder: Path) -> str:
    return run(["bash", "-e"], written(visit, "curl", "own_labels"), owner.key, folder)


def test_python_runs_as_pasted(visit: Visit, owner: Owner, tmp_path: Path) -> None:
    before = new_adapters(owner)
    for task in TASKS:
        printed = run([sys.executable, "-"], written(visit, "Python", task), owner.key, tmp_path)
        assert right(task, printed), printed
    assert len(new_adapters(owner) - before) == 1


def test_javascript_runs_as_pasted_in_a_page(visit: Visit, owner: Owner) -> None:
    visit.page.on("dialog", lambda dialog: answer_with(dialog, owner.key))
    visit.page.set_default_timeout(TRAINING_MS)
    before = new_adapters(owner)
    for task in TASKS:
        printed = in_the_page(visit, written(visit, "JavaScript", task))
        assert right(task, printed), printed
    assert len(new_adapters(owner) - before) == 1


def answer_with(dialog: Dialog, key: str) -> None:
    assert dialog.type == "prompt"
    dialog.accept(key)


def in_the_page(visit: Visit, script: str) -> str:
    """What the console of the page shows of it."""
    return str(
        visit.page.evaluate(
            """async code => {
                const printed = [];
                const run = new (async () => {}).constructor("console", code);
                await run({ log: (...words) => printed.push(words.join(" ")) });
                return printed.join("\\n");
            }""",
            script,
        )
    )


def test_javascript_runs_as_pasted_in_node_where_there_is_one(visit: Visit, owner: Owner, tmp_path: Path) -> None:
    for task in WITHOUT_TRAINING:
        script = written(visit, "JavaScript", task)
        if NODE:
            printed = run([NODE, "--input-type=module", "-"], script, owner.key, tmp_path)
        else:  # as the test above, of which this one is the more exact
            visit.page.once("dialog", lambda dialog: answer_with(dialog, owner.key))
            printed = in_the_page(visit, script)
        assert right(task, printed), printed


def test_who_has_nothing_gets_code_that_brings_its_own(newcomer: Visit, tmp_path: Path) -> None:
    made = newcomer.api("POST", "/keys", data={"name": "for the test"})
    (tmp_path / "pictures.zip").write_bytes(small_archive())
    with zipfile.ZipFile(tmp_path / "pictures.zip") as packed:
        packed.extractall(tmp_path / "my-pictures")
    expect(code(newcomer)).to_contain_text("a tiny picture", ignore_case=True)
    for language, command in {"curl": ["bash", "-e"], "Python": [sys.executable, "-"]}.items():
        for task in WITHOUT_TRAINING:
            printed = run(command, written(newcomer, language, task), made["api_key"], tmp_path)
            assert printed.strip(), (language, task)
    collections = newcomer.api("GET", "/collections")["items"]
    assert [item["image_count"] for item in collections] == [1, 1]
    # Its own dataset is what the page goes on with, once it has looked.
    run(["bash", "-e"], written(newcomer, "curl", "tune"), made["api_key"], tmp_path)
    assert "upload_folder" in written(newcomer, "Python", "tune")
    assert "readFileSync" in written(newcomer, "JavaScript", "tune")
    assert newcomer.api("GET", "/datasets")["items"][0]["image_count"] == 8


def test_a_version_that_is_not_published_is_called_by_its_number(visit: Visit, owner: Owner) -> None:
    assert f"adapter={NASTY}".replace("'", "'\\''") in written(visit, "curl", "classify")
    visit.page.get_by_label("Adapter", exact=True).select_option(owner.second_id)
    expect(code(visit)).to_contain_text("@2")
    assert json.dumps(f"{NASTY}@2", ensure_ascii=False) in written(visit, "Python", "classify")


def test_the_key_is_written_only_where_it_is_asked_for(visit: Visit, tmp_path: Path) -> None:
    for language in ("curl", "Python", "JavaScript"):
        for task in TASKS:
            assert "saft_" not in written(visit, language, task).replace("saft_client", "")
    visit.button("Make a key for this").click()
    key = visit.page.locator("#saft-code-key").inner_text()
    assert key not in written(visit, "curl", "embed")
    visit.page.get_by_label("Write it into the code").check()
    for language in ("curl", "Python", "JavaScript"):
        for task in TASKS:
            assert key in written(visit, language, task)
    run(["bash", "-e"], written(visit, "curl", "classify"), "", tmp_path)
    run([sys.executable, "-"], written(visit, "Python", "embed"), "", tmp_path)
    assert visit.api("GET", "/keys")["items"][0]["name"].startswith("for code, ")


def test_a_key_that_was_revoked_is_written_no_more(visit: Visit) -> None:
    visit.button("Make a key for this").click()
    key = visit.page.locator("#saft-code-key").inner_text()
    visit.page.get_by_label("Write it into the code").check()
    expect(code(visit)).to_contain_text(key)
    visit.part("account").click()
    visit.page.get_by_role("button", name="Revoke “for code").first.click()
    visit.page.get_by_role("dialog").last.get_by_role("button", name="Revoke", exact=True).click()
    expect(code(visit)).not_to_contain_text(key)


def test_what_is_copied_is_the_code(visit: Visit) -> None:
    expected = written(visit, "Python", "own_labels")
    visit.button("Copy").click()
    expect(visit.button("Copied")).to_be_visible()
    expect(visit.page.locator(".saft-heard[role=status]")).to_contain_text("Copied")
    assert visit.page.evaluate("navigator.clipboard.readText()") == expected
    assert TEXT.replace("\\", "\\\\").replace('"', '\\"') in expected


def test_without_a_clipboard_it_is_copied_the_old_way(visit: Visit) -> None:
    expected = code(visit).evaluate("element => element.textContent")
    visit.page.evaluate("() => { navigator.clipboard.writeText = () => Promise.reject(new Error('none')); }")
    visit.button("Copy").click()
    expect(visit.button("Copied")).to_be_visible()
    assert visit.page.evaluate("navigator.clipboard.readText()").strip() == expected.strip()


@pytest.mark.parametrize(
    ("kind", "ending", "path"),
    [
        ("delta", "saft", "delta"),
        ("open_clip", "zip", "export?format=open_clip"),
        ("onnx", "onnx", "export?format=onnx"),
    ],
)
def test_a_download_is_what_the_interface_gives(visit: Visit, owner: Owner, kind: str, ending: str, path: str) -> None:
    given: list[bytes] = []  # an export takes ten seconds: the one that the page asks for is what it is compared with

    def pass_on(route: Route) -> None:
        answer = route.fetch(timeout=TRAINING_MS)
        given.append(answer.body())
        route.fulfill(response=answer)

    visit.page.route(f"**/api/adapters/{owner.adapter_id}/{path}", pass_on)
    with visit.page.expect_download(timeout=TRAINING_MS) as coming:
        visit.page.locator(f"#saft-download-{kind}").click()
        if kind != "delta":
            visit.sees("It is being made.")
    download = coming.value
    assert download.suggested_filename.endswith(f".{ending}")
    assert [Path(download.path()).read_bytes()] == given
    visit.sees("is with your downloads")


def test_a_download_that_is_not_to_be_had_says_why(visit: Visit) -> None:
    def refuse(route: Route) -> None:
        problem = {"code": "not_found", "detail": "adapter: there is none of this id", "title": "", "status": 404}
        route.fulfill(status=404, content_type="application/problem+json", body=json.dumps(problem))

    visit.page.route("**/delta", refuse)
    visit.page.locator("#saft-download-delta").click()
    expect(visit.page.get_by_role("alert")).to_contain_text("there is none of this id")
    visit.page.unroute("**/delta")
    with visit.page.expect_download():
        visit.page.locator("#saft-download-delta").click()
    expect(visit.page.get_by_role("alert")).to_have_count(0)


def test_what_is_being_made_can_be_stopped(visit: Visit) -> None:
    held: list[Route] = []

    def hold(route: Route) -> None:
        held.append(route)

    visit.page.route("**/export?format=onnx", hold)
    visit.page.locator("#saft-download-onnx").click()
    visit.button("Stop").click()
    expect(visit.page.locator("#saft-download-onnx")).to_be_visible()
    expect(visit.page.get_by_role("alert")).to_have_count(0)
    assert len(held) == 1


def test_a_text_that_fits_an_adapter_is_a_prompt_of_it(visit: Visit) -> None:
    said = visit.page.evaluate(
        """async modules => {
            const { search_text } = await import(`${modules}/tabs/use/snippets.js`);
            const adapter = { classes: ["cat", "dog"], template: "an icon of {}", metrics: {} };
            const of = (prompts) => search_text({ ...adapter, metrics: { prompts } });
            return [
                [adapter, { ...adapter, template: ["an icon of {}", "the {}"] }].map(search_text),
                [{ ...adapter, metrics: null }].map(search_text),
                [["an icon of a cat.", "an icon of a dog."], [["an icon of a cat.", "the cat"], []]].map(of),
                [null, [], [[]], { cat: "a cat" }, 5].map(of),
                [null, { ...adapter, classes: [] }].map(search_text),
                [{ ...adapter, classes: ["$& $1"] }].map(search_text),
            ];
        }""",
        visit.modules,
    )
    assert [set(group) for group in said] == [
        {"an icon of cat"},
        {"an icon of cat"},
        {"an icon of a cat."},
        {"an icon of cat"},
        {"a photo of a cat"},
        {"an icon of $& $1"},
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_code_is_accessible_and_scrolls_in_its_box(visit: Visit, scheme: Literal["light", "dark"]) -> None:
    visit.page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    visit.reload()
    expect(code(visit)).to_contain_text("datasets/ds_")
    visit.button("Make a key for this").click()
    for language in ("curl", "Python", "JavaScript"):
        written(visit, language, "search")
        assert violations(visit.page) == []
    visit.page.set_viewport_size(PHONE)
    assert violations(visit.page) == []
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    box = visit.page.locator("#saft-code")
    box.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.until(lambda: box.evaluate("element => element.scrollLeft") > 0)
    visit.picture(f"use-phone-{scheme}")


def test_the_reference_is_where_the_page_is(visit: Visit) -> None:
    link = visit.page.get_by_role("link", name="Open the reference")
    assert link.get_attribute("href") == f"{visit.service.url}/docs"
