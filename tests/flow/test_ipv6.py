"""The product on an IPv6 address."""

from __future__ import annotations

import socket
import subprocess
from pathlib import Path

import pytest

from tests.fixtures.page import Visitor, file_data, key_of
from tests.fixtures.rest import labelled, zipped
from tests.fixtures.service import Service


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="NO IPV6 ON THIS MACHINE: addresses in brackets are not tested")
def test_page_api_and_snippets_work_on_an_ipv6_address(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    service = Service(tmp_path / "data", SAFT_HOST="::1")
    service.start()
    try:
        service.until_page()
        assert service.url.startswith("http://[::1]:")
        visitor = Visitor(service.url, key_of(service.new_tenant()))
        (name,) = visitor.upload(("mine.zip", zipped(labelled())))
        assert "are ready" in visitor.call("upload", ["", file_data(name)])[0]
        shown = visitor.call("write_1", [service.url, "Classify an image", "base", None, True])
        ran = subprocess.run(
            ["bash"], input=shown[1], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )
        assert '"probability"' in ran.stdout, ran.stderr
    finally:
        service.stop()
    said = capfd.readouterr().out
    assert f"starting on {service.url} " in said
    assert f"ready on {service.url}\n" in said
