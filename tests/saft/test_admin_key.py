from __future__ import annotations

import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import SecretStr

from saft.admin_key import LOOK_SECONDS, admin_key, current_admin_key, rotate
from saft_core.errors import Unavailable
from saft_core.settings import Limits, Settings

GIVEN = "a long enough admin key"


def settings(folder: Path, key: str | None = None, limits: Limits | None = None) -> Settings:
    given = None if key is None else SecretStr(key)
    return Settings(data_dir=folder, admin_key=given, limits=limits or Limits())


def test_the_admin_key_is_made_once_and_kept_private(tmp_path: Path) -> None:
    key, is_new = admin_key(settings(tmp_path))
    assert (len(key) >= 32, is_new) == (True, True)
    assert admin_key(settings(tmp_path)) == (key, False)
    assert admin_key(settings(tmp_path, GIVEN)) == (GIVEN, False)
    assert stat.S_IMODE((tmp_path / "admin-key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["admin-key"]


def test_processes_that_start_together_agree_on_one_key(tmp_path: Path) -> None:
    found: list[tuple[str, bool]] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        found.append(admin_key(settings(tmp_path)))

    run_all([start] * 8)
    assert len({key for key, _ in found}) == 1
    assert sum(is_new for _, is_new in found) == 1


def run_all(work: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_crash_while_the_key_is_written_leaves_no_key(tmp_path: Path) -> None:
    program = (
        "import resource, sys; from pathlib import Path; from saft.admin_key import admin_key;"
        "from saft_core.settings import Settings; settings = Settings(data_dir=Path(sys.argv[1]));"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0)); admin_key(settings)"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    crashed = subprocess.run(command, capture_output=True, check=False)
    assert crashed.returncode != 0
    assert b"File too large" in crashed.stderr
    assert list(tmp_path.iterdir()) == []
    assert admin_key(settings(tmp_path))[1]


@pytest.mark.parametrize("kept", ["", "\n", "short"])
def test_a_file_with_less_than_a_key_is_refused(kept: str, tmp_path: Path) -> None:
    (tmp_path / "admin-key").write_text(kept)
    with pytest.raises(Unavailable, match=r"admin-key has \d characters, at least 16 .*; delete the file"):
        admin_key(settings(tmp_path))


@pytest.mark.parametrize("given", ["", "   ", "15 characters.."])
def test_a_short_key_is_refused_by_its_limit(given: str, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"SAFT_ADMIN_KEY has \d+ characters.*SAFT_MIN_ADMIN_KEY_CHARACTERS"):
        admin_key(settings(tmp_path, given))
    least_15 = Limits(min_admin_key_characters=15)
    assert admin_key(settings(tmp_path, "15 characters..", least_15)) == ("15 characters..", False)


# --- a change while everything runs ----------------------------------------------------------------------------------


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time by which the file is looked at."""
    moment = [100.0]
    monkeypatch.setattr("saft.admin_key.time.monotonic", lambda: moment[0])
    return moment


def test_a_rotation_reaches_every_process_and_the_old_key_is_gone(tmp_path: Path, now: list[float]) -> None:
    processes = [current_admin_key(settings(tmp_path)) for _ in range(2)]
    (old,) = {key() for key in processes}
    new = rotate(settings(tmp_path))
    now[0] += LOOK_SECONDS
    assert LOOK_SECONDS < 1
    assert {key() for key in processes} == {new} != {old}
    assert len(new) >= 32
    assert stat.S_IMODE((tmp_path / "admin-key").stat().st_mode) == 0o600
    assert [file.name for file in tmp_path.iterdir()] == ["admin-key"]
    assert admin_key(settings(tmp_path)) == (new, False)


def test_a_file_that_somebody_else_writes_is_read_again(tmp_path: Path, now: list[float]) -> None:
    """As a mounted secret is."""
    file = tmp_path / "secret"
    file.write_text(GIVEN + "\n")
    mounted = Settings(data_dir=tmp_path / "data", admin_key_file=file, limits=Limits())
    key = current_admin_key(mounted)
    assert key() == GIVEN
    file.write_text("another long admin key\n")
    assert key() == GIVEN
    now[0] += LOOK_SECONDS
    assert key() == "another long admin key"


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_without_a_readable_file_nobody_is_the_admin(tmp_path: Path, now: list[float], content: bytes | None) -> None:
    key = current_admin_key(settings(tmp_path))
    (tmp_path / "admin-key").unlink()
    if content is not None:
        (tmp_path / "admin-key").write_bytes(content)
    now[0] += LOOK_SECONDS
    assert key() == ""
    new = rotate(settings(tmp_path))
    now[0] += LOOK_SECONDS
    assert key() == new


def test_a_key_that_was_given_is_rotated_where_it_was_given(tmp_path: Path) -> None:
    given = settings(tmp_path, GIVEN)
    assert current_admin_key(given)() == GIVEN
    with pytest.raises(Unavailable, match="SAFT_ADMIN_KEY; give that another value"):
        rotate(given)
    assert list(tmp_path.iterdir()) == []
