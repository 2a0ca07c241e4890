from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

from saft_core.clip import hub
from saft_core.clip.loading import load_base
from saft_core.errors import Unavailable
from tests.fixtures.service import free_port


@pytest.fixture
def no_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens where the hub should, and nothing is in the cache."""
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))


@pytest.fixture
def a_hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)  # answers 501 to all
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    yield
    server.shutdown()
    server.server_close()


def fail_within(error: Exception) -> None:
    """Raises what comes of `error` where the hub may be asked; notes on `error` whether it is asked."""
    with hub.reached():
        error.add_note("offline" if constants.is_offline_mode() else "online")
        raise error


@pytest.mark.usefixtures("no_hub")
def test_without_the_hub_only_the_cache_is_asked(tmp_path: Path) -> None:
    error = FileNotFoundError("not in the cache")
    with pytest.raises(ConnectionError, match=f"does not answer and the cache {tmp_path} lacks"):
        fail_within(error)
    assert error.__notes__ == ["offline"]
    assert not constants.is_offline_mode()


@pytest.mark.usefixtures("no_hub")
def test_other_errors_are_not_blamed_on_the_network() -> None:
    with pytest.raises(ValueError, match="damaged"):
        fail_within(ValueError("damaged"))


@pytest.mark.usefixtures("a_hub")
def test_a_hub_that_answers_is_used() -> None:
    error = FileNotFoundError("no such repository")
    with pytest.raises(FileNotFoundError, match="no such repository"):
        fail_within(error)
    assert error.__notes__ == ["online"]


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize("spec", ["ViT-B-16/openai", "hf-hub:org/name"])
def test_a_base_that_must_be_downloaded_fails_at_once(spec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def wait(seconds: float) -> None:
        raise AssertionError(f"waits {seconds} s to try again")

    monkeypatch.setattr("time.sleep", wait)
    with pytest.raises(Unavailable, match=f"SAFT_BASE='{spec}' .*does not answer.*checkpoint file or folder"):
        load_base(spec)


@pytest.mark.usefixtures("a_hub")
def test_a_local_base_asks_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def answers() -> bool:
        raise AssertionError("asks the hub")

    monkeypatch.setattr(hub, "_answers", answers)
    load_base("")
