from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from migrations.delta_version_2 import rewritten
from saft_core.delta import decode, encode
from tests.saft_core.delta.examples import HEADER, LIMIT_BYTES, delta, golden_delta
from tests.saft_core.delta.reference import unpacked

OLD = Path(__file__).with_name("version_2.saft")
"""`golden_delta()` as the release before wrote it: three blocks, long gaps with escapes, values of every size."""


def test_the_same_numbers_are_in_version_3() -> None:
    new = rewritten(OLD.read_bytes())
    assert unpacked(new) == unpacked(encode(golden_delta(), HEADER))
    decoded, header = decode(new, max_bytes=LIMIT_BYTES)
    assert header == HEADER
    assert np.array_equal(decoded.indices, golden_delta().indices)


def sealed(body: bytes) -> bytes:
    return body + hashlib.sha256(body).digest()


def test_a_delta_without_entries_is_rewritten() -> None:
    old = OLD.read_bytes()
    length = int.from_bytes(old[8:12], "little")
    empty = sealed(b"SAFTDLT2" + old[8:12] + bytes(16) + old[28 : 28 + length])
    assert unpacked(rewritten(empty)) == unpacked(encode(delta([], []), HEADER))


@pytest.mark.parametrize("damage", [b"", b"SAFTDLT2", b"bytes", OLD.read_bytes()[:-1], OLD.read_bytes() + b"\0"])
def test_what_is_no_sound_container_of_version_2_is_refused(damage: bytes) -> None:
    with pytest.raises(ValueError, match=r"SAFTDLT2|checksum"):
        rewritten(damage)
    with pytest.raises(ValueError, match="SAFTDLT2"):
        rewritten(rewritten(OLD.read_bytes()))


def test_the_command_rewrites_a_file(tmp_path: Path) -> None:
    new = tmp_path / "new.saft"
    command = [sys.executable, "-m", "migrations.delta_version_2"]
    subprocess.run([*command, str(OLD), str(new)], check=True)
    assert new.read_bytes() == rewritten(OLD.read_bytes())
    again = subprocess.run([*command, str(new), str(new)], check=False, capture_output=True, text=True)
    assert (again.returncode, "SAFTDLT2" in again.stderr, "Traceback" in again.stderr) == (1, True, False)
    assert subprocess.run(command, check=False, capture_output=True).returncode == 1
