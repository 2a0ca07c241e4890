from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.fixtures.page import Visitor
from tests.fixtures.rest import problem
from ui.page import TABS, head
from ui.static import FILES, FOLDER, Files

IMPORT = re.compile(r"""(?:from|import)\s*\(?\s*["'](\.[^"']+)["']""")


OTHER_VERSION = f"page/static/{'0' * 16}"


def test_every_file_comes_with_its_type_and_is_asked_for_once(stranger: Visitor) -> None:
    for path, file in FILES.by_path.items():
        answer = stranger.http.get(f"/{FILES.prefix}/{path}")
        assert answer.content == file.content
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert stranger.http.get("/page/static/app.js").headers["content-type"] == "text/javascript; charset=utf-8"


@pytest.mark.parametrize("prefix", ["page/static", OTHER_VERSION])
def test_an_address_of_no_version_or_of_another_gives_what_is_here_and_is_revalidated(
    stranger: Visitor, prefix: str
) -> None:
    answer = stranger.http.get(f"/{prefix}/lib/api.js")
    assert answer.content == FILES.by_path["lib/api.js"].content
    assert answer.headers["cache-control"] == "no-cache"
    again = stranger.http.get(f"/{prefix}/lib/api.js", headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_change_of_any_file_is_another_version(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("1")
    first = Files(tmp_path).prefix
    assert Files(tmp_path).prefix == first
    (tmp_path / "a.js").rename(tmp_path / "b.js")
    renamed = Files(tmp_path).prefix
    (tmp_path / "b.js").write_text("2")
    assert len({first, renamed, Files(tmp_path).prefix}) == 3


@pytest.mark.parametrize(
    "path",
    [
        "",
        "nothing.js",
        "lib",
        "/etc/passwd",
        "%2e%2e/page.py",
        "lib/%00",
        "0" * 16,
        f"{FILES.prefix.rpartition('/')[2]}/lib",
    ],
)
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
            assert f"{FILES.prefix}/{path}" in loaded, path


def test_every_tab_has_a_module() -> None:
    assert {path.parent.name for path in FOLDER.glob("tabs/*/tab.js")} == set(TABS)
