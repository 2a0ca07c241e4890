"""What the documents name is there: files and what stands in them, other pages and their headings."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")])
OF_FILES = [ROOT / "CONTRIBUTING.md", ROOT / "docs/architecture.md"]
"""The pages that say where code is."""
CODE = re.compile(r"`([^`\n]+)`")
IN_FILE = re.compile(r"`(\w+)`(?:,? (?:and|or) `(\w+)`)? (?:in|of) \[?`([\w./-]+\.\w+)`")
LINK = re.compile(r"\]\(([^)\s]*)\)")
FENCED = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
FOLDERS = {path.name for path in ROOT.iterdir() if path.is_dir()}
ENDINGS = (".py", ".js", ".json", ".md", ".toml", ".yml", ".svg")


def prose(page: Path) -> str:
    """A page without its listings."""
    return FENCED.sub("", page.read_text("utf-8"))


def paths(text: str) -> set[str]:
    """The code in backticks that is a path: below a folder of the tree, or with the ending of a file."""
    found = {code for code in CODE.findall(text) if re.fullmatch(r"[\w./*-]+", code)}
    return {code for code in found if (code.split("/")[0] in FOLDERS and "/" in code) or code.endswith(ENDINGS)}


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub makes links of them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", OF_FILES, ids=lambda page: page.name)
def test_every_path_that_is_named_exists(page: Path) -> None:
    named = paths(page.read_text("utf-8"))
    assert len(named) > 5
    assert {path for path in named if not any(ROOT.glob(path))} == set()


@pytest.mark.parametrize("page", OF_FILES, ids=lambda page: page.name)
def test_every_name_is_in_the_file_that_it_is_said_to_be_in(page: Path) -> None:
    said = [(name, path) for *names, path in IN_FILE.findall(page.read_text("utf-8")) for name in names if name]
    lost = {(name, path) for name, path in said if not re.search(rf"\b{name}\b", (ROOT / path).read_text("utf-8"))}
    assert said or page.name != "architecture.md"
    assert lost == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_to_a_heading_of_it(page: Path) -> None:
    for link in LINK.findall(prose(page)):
        if re.match(r"\w+:", link):
            continue  # another site
        path, _, anchor = link.partition("#")
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def test_what_is_wrong_is_seen() -> None:
    assert paths("`saft_core/lost.py`, `lost.py`, `tests/*`, `POST /adapters`, `/classify`, `name@3`, `x.y`") == {
        "saft_core/lost.py",
        "lost.py",
        "tests/*",
    }
    assert IN_FILE.findall("`A` and `B` in `api/app.py`, `c` of [`api/app.py`](../api/app.py)") == [
        ("A", "B", "api/app.py"),
        ("c", "", "api/app.py"),
    ]
    assert anchors(ROOT / "docs/training.md") >= {"what-is-measured", "a-finished-example"}
