from __future__ import annotations

import httpx
import pytest

from tests.fixtures.page import Visitor, key_of, refused
from tests.fixtures.rest import labelled, ok, zipped
from tests.fixtures.service import Service
from tests.ui.test_sign_in import SITES


def test_the_door_leads_to_the_visitors_own_things(service: Service, visitor: Visitor, neighbour: Visitor) -> None:
    made = ok(visitor.ask("POST", "/datasets", data={"name": "mine"}, files={"archive": zipped(labelled())}), 201)
    (listed,) = ok(visitor.ask("GET", "/datasets", params={"limit": 5}))["items"]
    assert listed["id"] == made["id"]
    assert ok(neighbour.ask("GET", "/datasets"))["items"] == []
    refused(neighbour.ask("GET", f"/datasets/{made['id']}"), 404, "not_found")


def test_the_name_of_a_visitor_opens_nothing_without_the_cookie(visitor: Visitor, stranger: Visitor) -> None:
    refused(stranger.http.get(f"/page/{visitor.who}/api/datasets"), 401, "no_key")


def test_the_cookie_opens_nothing_without_the_door(visitor: Visitor) -> None:
    refused(visitor.http.get("/datasets"), 401, "unauthorized")


@pytest.mark.parametrize("cookie", ["saft_wrong", "saft_" + "x" * 43, "no key at all", '""', "x" * 5000, "a\tb"])
def test_a_wrong_key_is_no_key(stranger: Visitor, cookie: str) -> None:
    who = "0123456789abcdef"
    headers = {"cookie": f"saft_{who}={cookie}"}
    answer = stranger.http.get(f"/page/{who}/api/datasets", headers=headers)
    assert answer.status_code == 401, answer.text


def test_a_key_under_the_name_of_another_visitor_opens_nothing(service: Service, visitor: Visitor) -> None:
    other = key_of(service.new_tenant("other"))
    url = f"{service.url}/page/{visitor.who}/api/usage"
    for key in (other, service.admin_key):
        refused(httpx.get(url, headers={"cookie": f"saft_{visitor.who}={key}"}), 401, "unauthorized")


def test_an_authorization_of_its_own_does_not_come_through(service: Service, visitor: Visitor) -> None:
    other = service.new_tenant("other")
    headers = {"authorization": str(other.headers["authorization"])}
    assert ok(visitor.ask("GET", "/usage", headers=headers))["name"] == "tests"
    admin = {"authorization": f"Bearer {service.admin_key}"}
    refused(visitor.ask("GET", "/tenants", headers=admin), 401, "unauthorized")


@pytest.mark.parametrize("headers", SITES)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "PUT", "PATCH"])
def test_another_site_does_not_come_through(visitor: Visitor, method: str, headers: dict[str, str]) -> None:
    refused(visitor.ask(method, "/datasets", headers=headers), 403, "cross_site")


def test_what_changes_something_says_where_it_comes_from(service: Service, visitor: Visitor) -> None:
    cookie = visitor.http.cookies[f"saft_{visitor.who}"]
    url = f"{service.url}/page/{visitor.who}/api/collections"
    with httpx.Client(headers={"cookie": f"saft_{visitor.who}={cookie}"}) as bare:
        refused(bare.post(url, json={"name": "x"}), 403, "cross_site")
        assert bare.get(url).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/page/{who}/api", "/page/{who}/apix/datasets", "/page//api/datasets", "/page/{who}/api/page/{who}/api/datasets"],
)
def test_other_addresses_are_not_there(visitor: Visitor, path: str) -> None:
    answer = visitor.http.get(path.format(who=visitor.who))
    assert answer.status_code in (401, 404), answer.text


def test_a_path_comes_through_as_it_was_sent(visitor: Visitor) -> None:
    answer = visitor.ask("GET", "/adapters/a%2Fb%3Fc")
    refused(answer, 404, "not_found")
    assert answer.json()["instance"].startswith("/adapters/a")
    assert answer.headers["content-type"] == "application/problem+json"


def test_the_key_of_one_door_is_not_that_of_another(service: Service, visitor: Visitor) -> None:
    other = key_of(service.new_tenant("other"))
    who = visitor.http.post("/page/session", json={"key": other}).json()["who"]
    assert ok(visitor.http.get(f"/page/{who}/api/usage"))["name"] == "other"
    assert ok(visitor.ask("GET", "/usage"))["name"] == "tests"
