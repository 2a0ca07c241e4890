"""Every kind of error is problem details with a stable code."""

from __future__ import annotations

import errno
import logging
import os
from typing import Any

import httpx
import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import delete
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from api.errors import STATUS_OF
from saft_core import errors
from saft_core.store.models import Tenant
from tests.fixtures.rest import Site, labelled, new_collection, new_dataset, ok, png, problem, zipped
from tests.fixtures.service import Service


def test_a_path_or_method_that_is_not_there(client: TestClient) -> None:
    problem(client.get("/nothing"), 404, "not_found")
    answer = client.put("/datasets")
    problem(answer, 405, "method_not_allowed")
    assert set(answer.headers["allow"].split(", ")) == {"GET", "POST"}
    assert "GET, POST" in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/datasets/", "/nothing/at/all", "//datasets", "/datasets/ds_1/", "/jobs/x/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE", "OPTIONS"])
def test_a_path_beside_those_that_are_there(client: TestClient, method: str, path: str) -> None:
    problem(client.request(method, path, follow_redirects=False), 404, "not_found")


def test_beside_the_page_unknown_paths_and_methods_are_problems_too(service: Service) -> None:
    with httpx.Client(base_url=service.url) as client:
        for path in (
            "/nothing",
            "/datasets/",
            "/gradio_api/nothing",
            "/assets",
            "/login",
            "/monitoring",
            "/docs/nothing",
        ):
            for method in ("GET", "POST", "PUT", "OPTIONS"):
                problem(client.request(method, path), 404, "not_found")
        for method, path, allowed in (
            ("PUT", "/datasets", {"GET", "POST"}),
            ("GET", "/classify", {"POST"}),
            ("DELETE", "/healthz", {"GET"}),
            ("POST", "/", {"GET", "HEAD"}),
        ):
            answer = client.request(method, path)
            problem(answer, 405, "method_not_allowed")
            assert set(answer.headers["allow"].split(", ")) == allowed


def test_every_operation_names_the_methods_of_its_path(client: TestClient) -> None:
    for template, operations in client.get("/openapi.json").json()["paths"].items():
        answer = client.request("PROPFIND", template)
        problem(answer, 405, "method_not_allowed")
        allowed = {method.lower() for method in answer.headers["allow"].split(", ")}
        assert allowed >= set(operations), template


def test_a_body_that_is_not_what_it_should_be_names_the_fields(client: TestClient) -> None:
    body = {"name": 1, "config": {"epochs": "many", "seed": -1}, "extra": True}
    found = problem(client.post("/adapters", json=body), 422, "invalid_request")
    assert {error["field"] for error in found["errors"]} == {
        "name", "dataset_id", "config.epochs", "config.seed", "extra",
    }  # fmt: skip
    for field in ("name", "dataset_id", "config.epochs"):
        assert field in found["detail"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[]", b"1", b"[" * 10_000])
def test_a_body_that_is_not_json(client: TestClient, content: bytes) -> None:
    answer = client.post("/collections", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, answer.json()["code"])


def test_a_bug_tells_nothing_to_the_caller_and_all_to_the_log(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: Any) -> None:
        raise RuntimeError("the secret reason")

    monkeypatch.setattr("saft_core.store.scope.Scope.page", crash)
    with caplog.at_level(logging.ERROR):
        answer = client.get("/datasets")
    problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert "the secret reason" in caplog.text
    assert "GET /datasets" in caplog.text


@pytest.mark.parametrize(
    "error", [OperationalError("SELECT secret", {}, Exception("connection refused")), PoolTimeoutError()]
)
def test_a_database_that_does_not_answer_is_unavailable(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(*_: Any) -> None:
        raise error

    monkeypatch.setattr("saft_core.store.scope.Scope.page", fail)
    answer = client.get("/datasets")
    problem(answer, 503, "unavailable")
    assert "secret" not in answer.text
    assert int(answer.headers["retry-after"]) > 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_is_told_as_such(client: TestClient, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def write(*_: Any) -> None:
        raise OSError(number, os.strerror(number), "/secret/folder")

    monkeypatch.setattr("saft_core.store.local_blobs.LocalBlobStore._write", write)
    answer = client.post("/datasets", data={"name": "x"}, files={"archive": zipped(labelled())})
    problem(answer, 507, "disk_full")
    assert "secret" not in answer.text
    collection, _ = new_collection(client, {})
    answer = client.post(f"/collections/{collection}/images", files={"files": ("a.png", png())})
    problem(answer, 507, "disk_full")
    monkeypatch.undo()
    monkeypatch.setattr("api.multipart.BodyParser._add", write)
    for path in ("/datasets", "/classify", "/adapters/import"):
        problem(client.post(path, data={"name": "x"}, files={"archive": b"x"}), 507, "disk_full")


def test_a_full_disk_of_the_database_is_told_as_such(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OperationalError("INSERT secret", {}, psycopg.errors.DiskFull("could not extend file"))

    monkeypatch.setattr("saft_core.store.scope.Scope.add", fail)
    problem(client.post("/collections", json={"name": "x"}), 507, "disk_full")


def test_another_error_of_the_system_is_a_bug(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/secret")

    monkeypatch.setattr("saft_core.store.scope.Scope.page", fail)
    answer = client.get("/datasets")
    problem(answer, 500, "internal")
    assert "secret" not in answer.text


def test_what_is_deleted_between_look_and_write_is_a_conflict(site: Site) -> None:
    """The tenant goes while the process still remembers whose the key is."""
    client = site.new_tenant()
    ok(client.get("/collections"))
    with site.services.sessions.begin() as session:
        session.execute(delete(Tenant))
    problem(client.post("/collections", json={"name": "x"}), 409, "conflict")


# --- texts that are no texts -----------------------------------------------------------------------------------------

JSON_BODIES = {
    "/collections": ['{"name": "x%s"}'],
    "/adapters": ['{"name": "x%s", "dataset_id": "x"}', '{"name": "x", "dataset_id": "%s"}',
                  '{"name": "x", "dataset_id": "x", "test_dataset_id": "%s"}',
                  '{"name": "x", "dataset_id": "x", "config": {"template": "{}%s"}}',
                  '{"name": "x", "dataset_id": "x", "config": {"encoders": "%s"}}',
                  '{"name": "x", "dataset_id": "x", "%s": 1}'],
    "/classify": ['{"adapter": "%s", "images": ["x"]}', '{"images": ["%s"]}', '{"images": ["x"], "labels": ["%s"]}',
                  '{"images": ["x"], "template": "{}%s"}', '{"images": ["x"], "template": ["{}", "a {}%s"]}'],
    "/retrieve": ['{"adapter": "%s", "collection_id": "x", "text": "x"}', '{"collection_id": "%s", "text": "x"}',
                  '{"collection_id": "x", "text": "%s"}', '{"collection_id": "x", "image": "%s"}'],
    "/tenants": ['{"name": "x%s"}'],
}  # fmt: skip


@pytest.mark.parametrize("path", JSON_BODIES)
@pytest.mark.parametrize("half", [r"\ud800", r"\udfff", r"\ud800\ud800", r"\udc00\ud800"])
def test_half_a_surrogate_pair_is_no_text(site: Site, path: str, half: str) -> None:
    client = site.admin if path == "/tenants" else site.new_tenant()
    for body in JSON_BODIES[path]:
        headers = {"content-type": "application/json"}
        answer = client.post(path, content=body.replace("%s", half), headers=headers)
        problem(answer, 422, "invalid_request")
        answer = client.post(path, content=body.encode().replace(b"%s", b"\xed\xa0\x80"), headers=headers)
        problem(answer, 422, "invalid_request")


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_is_refused(client: TestClient, number: str) -> None:
    for body in ('{"name": "x", "dataset_id": "x", "config": {"density": %s}}', '{"name": %s, "dataset_id": "x"}'):
        headers = {"content-type": "application/json"}
        problem(client.post("/adapters", content=body % number, headers=headers), 422, "invalid_request")


@pytest.mark.parametrize("text", ["%ED%A0%80", "%FF%FE", "%00", "%F0%9F%A6%8A"])
def test_bytes_that_are_no_text_name_nothing(client: TestClient, text: str) -> None:
    for path in ("/datasets/{}", "/adapters/{}", "/jobs/{}", "/collections/{}", "/collections/{}/images/x"):
        assert client.get(path.format(text)).status_code in (404, 422)
    assert client.get(f"/datasets?cursor={text}").status_code == 422
    headers = {b"idempotency-key": b"\xed\xa0\x80"}
    ok(client.post("/collections", json={"name": "x"}, headers=headers), 201)


def test_details_never_replace_what_a_problem_is_made_of(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise errors.Conflict("no", status=200, detail="yes", part="x")

    monkeypatch.setattr("saft_core.store.scope.Scope.page", refuse)
    body = problem(client.get("/datasets"), 409, "conflict")
    assert (body["status"], body["detail"], body["part"]) == (409, "no", "x")


def all_errors(kind: type[errors.SaftError] = errors.SaftError) -> list[type[errors.SaftError]]:
    return [kind, *(below for child in kind.__subclasses__() for below in all_errors(child))]


def test_every_error_that_a_request_can_meet_has_a_status_and_a_code_of_its_own() -> None:
    kinds = all_errors()
    assert len({kind.code for kind in kinds}) == len(kinds)
    only_in_jobs = {errors.SaftError, errors.Cancelled, *all_errors(errors.TrainingFailed)}
    for kind in set(kinds) - only_in_jobs:
        assert any(parent in STATUS_OF for parent in kind.__mro__), kind


# --- limits of lists -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/datasets", "/adapters", "/jobs", "/collections"])
def test_a_cursor_of_somebodys_own_making(client: TestClient, path: str) -> None:
    problem(client.get(path, params={"cursor": "made up"}), 422, "invalid_cursor")
    problem(client.get(path, params={"limit": 0}), 422, "invalid_request")
    problem(client.get(path, params={"limit": "x"}), 422, "invalid_request")


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "99999999999", "²"])
def test_a_position_cursor_of_somebodys_own_making(client: TestClient, cursor: str) -> None:
    dataset = new_dataset(client)["id"]
    problem(client.get(f"/datasets/{dataset}/images", params={"cursor": cursor}), 422, "invalid_cursor")


def test_a_page_is_never_longer_than_the_limit(site: Site) -> None:
    client = site.with_limits(max_page_items=2).new_tenant()
    for name in ("a", "b", "c"):
        ok(client.post("/collections", json={"name": name}), 201)
    assert len(ok(client.get("/collections", params={"limit": 1000}))["items"]) == 2
