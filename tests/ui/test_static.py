from __future__ import annotations

import re

import pytest

from tests.fixtures.page import Visitor
from tests.fixtures.rest import problem
from ui.page import TABS, head
from ui.static import FILES, FOLDER

IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")


def test_every_file_comes_with_its_type_and_is_not_sent_twice(stranger: Visitor) -> None:
    for path, file in FILES.by_path.items():
        answer = stranger.http.get(f"/page/static/{path}")
        assert answer.content == file.content
        assert answer.headers["x-content-type-options"] == "nosniff"
        again = stranger.http.get(f"/page/static/{path}", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
    assert stranger.http.get("/page/static/app.js").headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("path", ["", "nothing.js", "lib", "/etc/passwd", "%2e%2e/page.py", "lib/%00"])
def test_nothing_else_is_there(stranger: Visitor, path: str) -> None:
    problem(stranger.http.get(f"/page/static/{path}"), 404, "not_found")


def test_every_module_that_is_imported_is_there() -> None:
    for path in FOLDER.rglob("*.js"):
        for name in IMPORT.findall(path.read_text(encoding="utf-8")):
            assert (path.parent / name).resolve().is_file(), (path, name)


def test_all_styles_and_modules_are_loaded_at_once() -> None:
    loaded = head()
    for path in FILES.by_path:
        if path.endswith((".js", ".css")) and "/lazy/" not in path:
            assert f"page/static/{path}" in loaded, path


def test_every_tab_has_a_module() -> None:
    assert {path.parent.name for path in FOLDER.glob("tabs/*/tab.js")} == set(TABS)
