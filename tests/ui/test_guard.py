"""The page as an attacker meets it: over HTTP, against the running product."""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import fastapi
import fastapi.testclient
import httpx
import pytest
from ui.uploads import UploadLimits

from api.multipart import BodyParser
from tests.fixtures.page import FILE_TYPES, Visitor, file_data, key_of, until_there
from tests.fixtures.rest import labelled, png, problem, zipped
from tests.fixtures.service import Service
from ui.app import mount
from ui.guard import FREE
from ui.loading import Page

CLOSED = {
    ("POST", "/gradio_api/queue/join"),
    ("GET", "/gradio_api/queue/data"),
    ("POST", "/gradio_api/cancel"),
    ("POST", "/gradio_api/reset"),
    ("GET", "/gradio_api/heartbeat/{session_hash}"),
    ("GET", "/gradio_api/app_id"),
    ("POST", "/gradio_api/upload"),
    ("GET", "/gradio_api/file={path_or_url:path}"),
}
PATHS = (
    "/etc/passwd",
    "/dev/zero",
    "/proc/self/environ",
    "../../../../etc/passwd",
    "%2Fetc%2Fpasswd",
    "..%2f..%2f..%2f..%2fetc%2fpasswd",
    "/etc/hostname\u0000.png",
    "file:///etc/passwd",
    "http://127.0.0.1:1/image.png",
    "",
)
LIMITS = UploadLimits(1 << 20, 1 << 20, 1 << 20, 100, 60)


@pytest.fixture(scope="module")
def gradio() -> fastapi.FastAPI:
    """Gradio's app as the guard holds it."""
    return gradio_of(mount(fastapi.FastAPI(), "http://127.0.0.1:1", BodyParser, LIMITS))


def gradio_of(page: Page) -> fastapi.FastAPI:
    gradio: Any = page.built.gradio
    assert isinstance(gradio, fastapi.FastAPI)
    return gradio


def routes_of(app: fastapi.FastAPI) -> Iterator[tuple[str, str]]:
    """(method, path template) of all that an app has, with what routers add to it."""
    for route in app.routes:
        for known in getattr(route, "effective_route_contexts", lambda route=route: [route])():
            path = getattr(known, "path", None) or known.starlette_route.path
            for method in known.methods or ():
                yield method, path


def filled(template: str) -> str:
    """A path of the template."""
    return re.sub(r"\{[^}]*\}", "1", template)


def hostile_events(visitor: Visitor, path: str) -> Iterator[tuple[dict[str, Any], list[Any]]]:
    """Calls of every function of the page, with the file in each of its inputs, in each way to write it."""
    file = file_data(path)
    for function in visitor.functions:
        kinds = visitor.kinds(function)
        if not kinds:
            yield function, [file]
        for position, kind in enumerate(kinds):
            shapes = (file, [file], {"path": path}) if kind in FILE_TYPES else (file,)
            for shape in shapes:
                yield function, [shape if other == position else None for other in range(len(kinds))]


def heard(visitor: Visitor) -> list[str]:
    """The kinds of the messages of a session; Gradio cuts the connection of one that is not there."""
    kinds = []
    with suppress(httpx.RemoteProtocolError):
        for message in visitor.messages():
            kinds.append(str(message["msg"]))  # noqa: PERF401 (what came before the cut counts)
    return kinds


def test_no_function_takes_a_path_from_a_stranger(stranger: Visitor) -> None:
    for function, data in hostile_events(stranger, "/etc/passwd"):
        assert stranger.join(function, data).status_code == 401, function["api_name"]
        assert stranger.join(function, [None for _ in data]).status_code == 401, function["api_name"]


@pytest.mark.parametrize("key", ["saft_wrong", "saft_" + "x" * 43, "no key at all", "", "ключ", "x" * 5000])
def test_a_wrong_key_is_no_key(stranger: Visitor, key: str) -> None:
    stranger.http.headers["cookie"] = f"saft_key={key}"
    for function in stranger.functions:
        answer = stranger.join(function, [None for _ in function["inputs"]])
        assert answer.status_code == 401, (function["api_name"], answer.text)


@pytest.mark.parametrize("path", PATHS)
def test_no_function_takes_a_path_of_the_server(visitor: Visitor, path: str) -> None:
    for function, data in hostile_events(visitor, path):
        problem(visitor.join(function, data), 404, "no_upload")


def test_no_function_takes_the_upload_of_somebody_else(visitor: Visitor, neighbour: Visitor) -> None:
    (name,) = neighbour.upload(("secret.png", png()))
    for function, data in hostile_events(visitor, name):
        problem(visitor.join(function, data), 404, "no_upload")
    assert neighbour.http.get(f"/gradio_api/file={name}").content == png()


@pytest.mark.parametrize(
    "shape",
    [
        {"nested": file_data("/etc/passwd")},
        {"value": file_data("/etc/passwd"), "__type__": "update"},
        [[file_data("/etc/passwd")]],
        ["/etc/passwd"],
        [None],
        {"url": "http://127.0.0.1:1/image.png", "meta": {"_type": "gradio.FileData"}},
        {"path": ["/etc/passwd"], "meta": {"_type": "gradio.FileData"}},
        {"path": None, "url": "/etc/passwd"},
        {},
    ],
)
def test_no_other_shape_of_a_file_comes_through(visitor: Visitor, shape: Any) -> None:
    for function in visitor.functions:
        data = [shape for _ in function["inputs"]] or [shape]
        problem(visitor.join(function, data), 400, "bad_event")


def test_the_url_beside_an_upload_is_not_fetched(visitor: Visitor) -> None:
    (name,) = visitor.upload(("cat.png", png()))
    with socket.create_server(("127.0.0.1", 0)) as bait:
        bait.setblocking(False)
        url = f"http://127.0.0.1:{bait.getsockname()[1]}/x.png"
        file = file_data(name, url=url, orig_name="../../x", is_stream=True)
        assert 'role="alert"' in visitor.call("upload", ["", file])[0]  # a picture is no archive
        with pytest.raises(BlockingIOError):
            bait.accept()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"null",
        b'{"data": [], "fn_index": 0',
        b'{"data": {"0": 1}, "fn_index": 0, "session_hash": "a"}',
        b'{"data": [NaN], "fn_index": 1, "session_hash": "a"}',
        b'{"data": [1e999], "fn_index": 1, "session_hash": "a"}',
        b'{"data": ["\\ud800"], "fn_index": 1, "session_hash": "a"}',
        b'{"data": [], "fn_index": true, "session_hash": "a"}',
        b'{"data": [], "fn_index": -1, "session_hash": "a"}',
        b'{"data": [], "fn_index": 1e3, "session_hash": "a"}',
        b'{"data": [], "fn_index": 1, "session_hash": "../x"}',
        b'{"data": [], "fn_index": 1, "session_hash": ""}',
        b'{"data": [], "fn_index": 1}',
        b'{"data": [null], "data": [{"path": "/etc/passwd"}, 0], "fn_index": ' + b"9" * 5000 + b"}",
        b'{"data": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}",
        b'{"data": [' + b"0," * 1000 + b'0], "fn_index": 1, "session_hash": "a"}',
        b"\xff\xfe{}",
    ],
)
def test_what_is_no_event_is_refused(visitor: Visitor, body: bytes) -> None:
    headers = {"content-type": "application/json"}
    problem(visitor.http.post("/gradio_api/queue/join", content=body, headers=headers), 400, "bad_event")


def test_an_event_is_no_way_to_fill_the_memory(visitor: Visitor) -> None:
    event = {"fn_index": visitor.functions[1]["id"], "session_hash": "a", "data": ["x" * (2 << 20)]}
    problem(visitor.http.post("/gradio_api/queue/join", json=event), 413, "too_large")


def test_the_last_of_equal_names_counts_for_all(visitor: Visitor) -> None:
    function = visitor.function("compare")
    body = (
        f'{{"fn_index": {function["id"]}, "session_hash": "a", "data": [null, null, null],'
        f' "data": [null, {json.dumps(file_data("/etc/passwd"))}, null]}}'
    )
    headers = {"content-type": "application/json"}
    problem(visitor.http.post("/gradio_api/queue/join", content=body, headers=headers), 404, "no_upload")


def test_every_route_of_gradio_is_listed_or_shut(gradio: fastapi.FastAPI, stranger: Visitor, visitor: Visitor) -> None:
    routes = set(routes_of(gradio))
    assert len(routes) > 60
    assert routes >= CLOSED
    for method, template in sorted(routes):
        if method == "HEAD" or template == "/openapi.json":  # the service's own
            continue
        path = filled(template)
        answer = stranger.http.request(method, path)
        if template in FREE and method == "GET":
            assert answer.status_code in (200, 404), (method, path)
        elif (method, template) in CLOSED:
            assert answer.status_code == 401, (method, path)
        else:
            assert answer.status_code in (401, 404, 405), (method, path)
            assert answer.headers["content-type"] == "application/problem+json", (method, path)
            assert visitor.http.request(method, path).status_code in (404, 405), (method, path)


def test_a_route_that_a_later_gradio_adds_is_shut() -> None:
    app = fastapi.FastAPI()
    page = mount(app, "http://127.0.0.1:1", BodyParser, LIMITS)
    for path in ("/gradio_api/brand_new", "/brand_new"):
        gradio_of(page).get(path)(lambda: "open")
    with fastapi.testclient.TestClient(app) as client:
        until_there(client)
        for path in ("/gradio_api/brand_new", "/brand_new"):
            assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    "path",
    [
        "/assets/../../../../../../etc/passwd",
        "/assets/..%2f..%2f..%2f..%2f..%2f..%2fetc%2fpasswd",
        "/assets/%2e%2e/%2e%2e/index.html",
        "/static//etc/passwd",
        "/static/%2fetc/passwd",
        "/assets/.%00./x",
        "//gradio_api/file=/etc/passwd",
        "/gradio_api//file=/etc/passwd",
        "/./gradio_api/info",
        "/gradio_api/file=/etc/passwd",
        "/gradio_api/file=%2Fetc%2Fpasswd",
        "/gradio_api/file=http://127.0.0.1:1/x",
        "/gradio_api/file=..%2f..%2fetc%2fpasswd",
        "/gradio_api/file/etc/passwd",
        "/gradio_api/proxy=http://127.0.0.1:1/",
        "/svelte/svelte.js",
        "/GRADIO_API/info",
    ],
)
def test_no_path_leads_out(service: Service, visitor: Visitor, path: str) -> None:
    host, port = service.url.removeprefix("http://").split(":")
    with httpx.Client(headers={"cookie": f"saft_key={visitor.http.cookies['saft_key']}"}) as raw:
        for method in ("GET", "HEAD", "POST", "OPTIONS", "DELETE"):
            request = httpx.Request(method, service.url, headers=raw.headers)
            request.url = httpx.URL(scheme="http", host=host, port=int(port), raw_path=path.encode())
            answer = raw.send(request)
            assert answer.status_code in (404, 405), (method, path, answer.text)
            assert answer.headers["content-type"] == "application/problem+json"


def test_the_page_takes_nothing_of_what_its_address_says(stranger: Visitor) -> None:
    plain = stranger.http.get("/config").json()
    asked = stranger.http.get(
        "/config?deep_link=../../state&page=x&file=/etc/passwd", headers={"x-gradio-server": "http://evil.example"}
    )
    assert asked.json() == plain
    odd = stranger.http.get("/", headers={"host": "evil[", "x-forwarded-host": "a b"})
    assert odd.status_code == 200


def test_a_stream_of_answers_is_its_owners_alone(visitor: Visitor, neighbour: Visitor) -> None:
    neighbour.session = visitor.session
    visitor.join(visitor.function("refresh"), [None]).raise_for_status()
    assert heard(neighbour) == ["unexpected_error"]
    assert "process_completed" in heard(visitor)


def test_an_event_reaches_only_what_its_tenant_has(service: Service, visitor: Visitor, neighbour: Visitor) -> None:
    (name,) = visitor.upload(("mine.zip", zipped(labelled())))
    visitor.call("upload", ["mine", file_data(name)])
    (choice,) = visitor.call("refresh", [None])[1]["choices"]
    assert "mine" in choice[0]
    assert neighbour.call("refresh", [None])[1]["choices"] == []


def test_a_file_is_shown_to_its_owner_alone(stranger: Visitor, visitor: Visitor, neighbour: Visitor) -> None:
    image, script = visitor.upload(("cat.png", png()), ("evil.html", b"<script>alert(1)</script>"))
    shown = visitor.http.get(f"/gradio_api/file={image}")
    assert (shown.content, shown.headers["content-type"]) == (png(), "image/png")
    page = visitor.http.get(f"/gradio_api/file={script}")
    assert page.headers["content-type"] == "application/octet-stream"
    assert page.headers["content-disposition"] == "attachment"
    for answer in (shown, page):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "private, no-store"
    problem(neighbour.http.get(f"/gradio_api/file={image}"), 404, "no_upload")
    problem(stranger.http.get(f"/gradio_api/file={image}"), 401, "no_key")


def test_a_stranger_leaves_no_file(stranger: Visitor) -> None:
    answer = stranger.http.post("/gradio_api/upload", files=[("files", ("x.png", png()))])
    problem(answer, 401, "no_key")


def test_the_same_zip_can_be_sent_twice_at_once(visitor: Visitor) -> None:
    archive = zipped(labelled())
    names = [visitor.upload(("same.zip", archive))[0] for _ in range(2)]
    assert names[0] != names[1]
    again = Visitor(str(visitor.http.base_url), visitor.http.cookies["saft_key"])
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda who, name: who.call("upload", ["", file_data(name)]), (visitor, again), names)
    assert all("are ready" in shown[0] for shown in said)
    for name in names:  # gone once it was used
        problem(visitor.http.get(f"/gradio_api/file={name}"), 404, "no_upload")


def test_a_page_of_another_site_is_refused(service: Service, visitor: Visitor) -> None:
    key = key_of(service.new_tenant())
    requests = [
        ("POST", "/gradio_api/queue/join"),
        ("GET", "/gradio_api/queue/data?session_hash=a"),
        ("POST", "/gradio_api/upload"),
        ("GET", "/gradio_api/file=x"),
        ("POST", "/page/session"),
        ("PATCH", "/page/session"),
        ("DELETE", "/page/session"),
        ("GET", "/page/session"),
        ("POST", "/page/tenants"),
    ]
    for method, path in requests:
        for headers in (
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"origin": f"{service.url}0"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ):
            answer = visitor.http.request(method, path, json={"key": key}, headers=headers)
            problem(answer, 403, "cross_site")
    assert visitor.http.get("/page/session", headers={"origin": service.url}).status_code == 200
