from __future__ import annotations

from pathlib import Path

import pytest

from saft_core.clip.loading import load_base
from saft_core.errors import Unavailable
from worker import base


def test_the_fingerprint_is_the_one_that_the_base_has() -> None:
    assert base.fingerprint("") == load_base("").fingerprint


def test_a_base_that_cannot_be_loaded_is_named_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no-such-model") as raised:
        base.fingerprint(f"no-such-model/{tmp_path}")
    assert "\n" not in raised.value.message
