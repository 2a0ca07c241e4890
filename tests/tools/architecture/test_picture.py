"""The picture of docs/architecture.md is drawn from the code as it is."""

from __future__ import annotations

from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest

from tools.architecture.__main__ import PICTURE
from tools.architecture.imports import Imports, Package, read
from tools.architecture.picture import draw


@pytest.fixture(scope="module")
def imports() -> Imports:
    return read()


def test_the_picture_is_that_of_the_code(imports: Imports) -> None:
    assert draw(imports) == PICTURE.read_text("utf-8"), "run make architecture"


def test_every_package_and_every_arrow_is_drawn(imports: Imports) -> None:
    drawn = ET.fromstring(draw(imports))
    words = {text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")}
    ways = [path for path in drawn.iter("{http://www.w3.org/2000/svg}path") if path.get("class") == "way"]
    assert {name.replace(".", "/") for name in imports.packages} <= words
    assert len(ways) == len(imports.arrows) + 1  # and the legend's


def test_an_import_against_the_order_is_not_drawn(imports: Imports) -> None:
    against = replace(imports, arrows=imports.arrows | {("saft_core.delta", "saft_core.serving")})
    with pytest.raises(ValueError, match=r"saft_core\.delta imports saft_core\.serving, which stands no lower"):
        draw(against)


def test_a_package_without_a_place_is_named(imports: Imports) -> None:
    with pytest.raises(ValueError, match=r"saft_core\.audio: no place in BOXES"):
        draw(replace(imports, arrows=imports.arrows | {("api", "saft_core.audio")}))
    with pytest.raises(ValueError, match=r"saft_core\.audio: no place in BOXES"):
        draw(replace(imports, packages={**imports.packages, "saft_core.audio": Package("saft_core.audio", "Sounds")}))


def test_a_line_too_long_for_its_box_loses_what_follows_its_colon_or_is_an_error(imports: Imports) -> None:
    def drawn(line: str) -> str:
        return draw(replace(imports, packages={**imports.packages, "ui": Package("ui", line)}))

    assert "the rest" not in drawn(f"The page: {'and the rest ' * 9}")
    with pytest.raises(ValueError, match="too long for its box"):
        drawn("The page " * 20)


def test_words_are_escaped(imports: Imports) -> None:
    changed = draw(replace(imports, packages={**imports.packages, "ui": Package("ui", "a < b & c")}))
    assert "a &lt; b &amp; c" in changed


def test_modules_of_the_core_that_fill_more_than_a_line_are_an_error(imports: Imports) -> None:
    with pytest.raises(ValueError, match="saft_core has more modules than fit"):
        draw(replace(imports, modules=("saft_core.errors",) * 40))
