from __future__ import annotations

import stat
from pathlib import Path

import pytest

from saft import embedded
from saft_core.errors import Unavailable


def test_one_serve_a_folder(tmp_path: Path) -> None:
    with embedded.exclusive(tmp_path), pytest.raises(Unavailable, match="SAFT_DATA_DIR"), embedded.exclusive(tmp_path):
        pytest.fail("two at once")
    with embedded.exclusive(tmp_path):  # free again after the first has ended
        pass


def test_given_servers_are_used_and_noted_while_they_run(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="saft serve"):
        embedded.running(tmp_path)
    with embedded.servers(tmp_path, ("postgresql://db/x", "redis://broker")) as urls:
        assert urls == embedded.ServerUrls("postgresql://db/x", "redis://broker")
        assert embedded.running(tmp_path) == urls
        assert stat.S_IMODE((tmp_path / "servers.json").stat().st_mode) == 0o600
    with pytest.raises(Unavailable):
        embedded.running(tmp_path)


def test_a_folder_with_spaces_is_refused_with_the_reason(tmp_path: Path) -> None:
    spaced = tmp_path / "my data"
    spaced.mkdir()
    with pytest.raises(Unavailable, match="no spaces"), embedded.servers(spaced, (None, "redis://broker")):
        pytest.fail("started")


def test_the_admin_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    assert embedded.admin_key(tmp_path, None, "first") == ("first", True)
    assert embedded.admin_key(tmp_path, None, "second") == ("first", False)
    assert embedded.admin_key(tmp_path, "given", "third") == ("given", False)
    assert stat.S_IMODE((tmp_path / "admin-key").stat().st_mode) == 0o600
