"""The product on an IPv6 address."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.fixtures.page import Visitor, key_of
from tests.fixtures.rest import labelled, ok, zipped
from tests.fixtures.service import ONE_THREAD, Service


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="NO IPV6 ON THIS MACHINE: addresses in brackets are not tested")
def test_page_and_api_work_on_an_ipv6_address(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    service = Service(tmp_path / "data", **ONE_THREAD, SAFT_HOST="::1")
    service.start()
    try:
        service.until_page()
        assert service.url.startswith("http://[::1]:")
        visitor = Visitor(service.url, key_of(service.new_tenant()))
        made = visitor.ask("POST", "/datasets", data={"name": "mine"}, files={"archive": zipped(labelled())})
        assert ok(made, 201)["image_count"] == 4
        assert ok(visitor.http.post("/page/session", json={}))["name"] == "this computer"
    finally:
        service.stop()
    said = capfd.readouterr().out
    assert f"starting on {service.url} " in said
    assert f"ready on {service.url}\n" in said
