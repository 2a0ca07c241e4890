"""The shipped service, page and all, against what its description promises; `make fuzz` does the same for longer."""

from __future__ import annotations

from tests.fixtures.service import Service
from tests.fuzz.campaign import fuzz


def test_no_request_that_can_be_described_or_spoilt_breaks_a_promise(service: Service) -> None:
    """No 5xx, no status or answer that is not described, no error that is not problem details, no key ignored."""
    assert fuzz(service, "--max-time", "60", "--seed", "1") == 0
