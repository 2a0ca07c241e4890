from __future__ import annotations

import re

from fastapi.testclient import TestClient

from tests.fixtures.rest import Site, problem


def test_the_reference_loads_nothing_from_elsewhere(site: Site) -> None:
    client = site.client(None)
    page = client.get("/docs")
    assert page.headers["content-type"].startswith("text/html")
    assert "://" not in page.text
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(loaded) == 3
    for address in loaded:
        assert client.get(address).status_code == 200
    assert '"/openapi.json"' in page.text or "'/openapi.json'" in page.text


def test_the_reference_reads_this_version_of_openapi(site: Site) -> None:
    version = site.client(None).get("/openapi.json").json()["openapi"]
    assert version.startswith("3.1")
    assert "3.1" in site.client(None).get("/docs/swagger-ui-bundle.js").text


def test_the_other_reference_is_gone(client: TestClient) -> None:
    problem(client.get("/redoc"), 404, "not_found")
