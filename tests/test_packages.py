"""What is installed, and what the image copies, is what the tree has: a folder that is forgotten shows here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
SETUP = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]
SHIPPED = SETUP["setuptools"]["packages"]


def test_every_module_of_a_shipped_folder_is_installed() -> None:
    roots = {name.partition(".")[0] for name in SHIPPED} - {"saft_client"}
    folders = {module.parent for root in roots for module in (ROOT / root).rglob("*.py")}
    assert {folder.relative_to(ROOT).as_posix().replace("/", ".") for folder in folders} == set(SHIPPED) - {
        "saft_client"
    }


def test_the_image_copies_every_folder_that_is_installed() -> None:
    copied = set(re.findall(r"^COPY (\w+) \1$", (ROOT / "Dockerfile").read_text("utf-8"), re.MULTILINE))
    assert copied == {name.partition(".")[0] for name in SHIPPED} - {"saft_client"} | {"client"}


def test_import_rules_and_types_are_checked_in_every_folder_that_is_installed() -> None:
    roots = {name.partition(".")[0] for name in SHIPPED}
    assert set(SETUP["importlinter"]["root_packages"]) == roots
    assert roots <= set(SETUP["mypy"]["packages"])
