"""The shipped service, page and all, against what its description promises; `make fuzz` does the same for longer."""

from __future__ import annotations

from pathlib import Path

from tests.fuzz.campaign import fuzz


def test_no_request_that_can_be_described_or_spoilt_breaks_a_promise(tmp_path: Path) -> None:
    """No 5xx, no status or answer that is not described, no error that is not problem details, no key ignored."""
    assert fuzz(tmp_path / "data", "--max-time", "60", "--seed", "1") == 0
