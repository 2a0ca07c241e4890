from __future__ import annotations

import base64
import io
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import onnxruntime
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import update
from sqlalchemy.orm import Session, sessionmaker

from api.exports import Download, ExportRequest
from saft_core.clip.loading import load_base
from saft_core.export.answers import Exported
from saft_core.store.models import Adapter
from saft_core.store.tenants import hashed
from tests.fixtures.models import at_rest
from tests.fixtures.rest import Site, make_site, ok, png, problem
from tests.saft_core.export.exported import tiny

DOCS = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
UNKNOWN = {"slope": 12.0, "intercept": -1.5, "threshold": 0.4, "auroc": 0.9}
CALIBRATION = {"temperature": 0.8, "unknown": UNKNOWN}


def site_on(sessions: sessionmaker[Session], folder: Path, tower: str) -> Site:
    (folder / "data").mkdir()
    base = load_base("") if tower == "embedded" else tiny(folder / "base", tower)
    return make_site(sessions, base, folder / "data")


@pytest.fixture
def out(sessions: sessionmaker[Session], tmp_path: Path) -> Iterator[Site]:
    """A site whose base open_clip has built."""
    made = site_on(sessions, tmp_path, "vit")
    yield made
    at_rest(made.services.engine)
    assert list((tmp_path / "data").glob("*export*")) == []
    assert made.services.exports.under_way == 0


@pytest.fixture
def tenant(out: Site) -> TestClient:
    """Somebody with one adapter, called "icons"."""
    client = out.new_tenant()
    adapter = out.new_adapter(client, values=0.02, template=["a photo of a {}.", "the {}"])
    change(out, adapter["id"], strength=0.75, calibration=CALIBRATION)
    return client


def change(site: Site, adapter_id: str, **columns: Any) -> None:
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).where(Adapter.id == adapter_id).values(**columns))


def export(client: TestClient, form: str = "open_clip", name: str = "icons", **more: Any) -> Any:
    return client.get(f"/adapters/{name}/export", params={"format": form} | more)


def unzipped(content: bytes, folder: Path) -> Path:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        archive.extractall(folder)
    (made,) = (path for path in folder.iterdir() if (path / "labels.json").is_file())
    return made


def classified(client: TestClient, picture: bytes, **more: Any) -> tuple[dict[str, float], float | None]:
    """The probabilities by label, and that of none of them."""
    body = {"adapter": "icons", "images": [base64.b64encode(picture).decode()]} | more
    (result,) = ok(client.post("/classify", json=body))["results"]
    return {found["label"]: found["probability"] for found in result["predictions"]}, result["unknown"]


@pytest.mark.parametrize("asked", [{}, {"strength": 0.3}])
def test_open_clip_answers_as_classify(out: Site, tenant: TestClient, tmp_path: Path, asked: dict[str, Any]) -> None:
    before = at_rest(out.services.engine).sha256()
    classified(tenant, png())  # the adapter is in the base now
    answer = export(tenant, **asked)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/zip"
    adapter_id = ok(tenant.get("/adapters/icons"))["id"]
    assert answer.headers["content-disposition"] == f'attachment; filename="{adapter_id}.zip"'
    exported = Exported(unzipped(answer.content, tmp_path / "unzipped"))
    with Image.open(io.BytesIO(png(3))) as image:
        embedding = exported.embed(exported.pixels(image))
    probabilities, unknown = exported.answer(embedding)
    expected, none = classified(tenant, png(3), **asked)
    answered = dict(zip(exported.about["classes"], probabilities[0].tolist(), strict=True))
    assert answered == pytest.approx(expected, abs=1e-5)
    with Image.open(io.BytesIO(png(3))) as image:
        strength = asked.get("strength", 0.75)
        seen = out.services.engine.embed_images(adapter_id, [image], strength=strength)
    np.testing.assert_allclose(embedding, seen, atol=1e-6)
    assert (exported.about["temperature"], exported.about["strength"]) == (1 if asked else 0.8, strength)
    if asked:
        assert unknown is None
        assert none is None
    else:
        assert unknown is not None
        assert float(unknown[0]) == pytest.approx(none, abs=1e-5)
    assert at_rest(out.services.engine).sha256() == before


def test_many_exports_beside_requests_of_another_adapter_see_their_own_weights_only(
    out: Site, tenant: TestClient, tmp_path: Path
) -> None:
    out.new_adapter(tenant, "other", values=-0.4)
    engine = out.services.engine
    before, alone = at_rest(engine).sha256(), export(tenant).content

    async def busily() -> list[bytes]:
        found: list[bytes] = []
        done = anyio.Event()

        async def classify() -> None:
            while not done.is_set():
                await anyio.to_thread.run_sync(lambda: classified(tenant, png(), adapter="other"))

        async with anyio.create_task_group() as group:
            group.start_soon(classify)
            group.start_soon(classify)
            for _ in range(5):
                found.append((await anyio.to_thread.run_sync(lambda: export(tenant))).content)  # noqa: PERF401
            done.set()
        return found

    assert set(anyio.run(busily)) == {alone}
    assert at_rest(engine).sha256() == before


def test_an_etag_is_answered_before_anything_is_made(out: Site, tenant: TestClient) -> None:
    first = export(tenant)
    tag = first.headers["etag"]
    assert export(tenant, strength=0.75).headers["etag"] == tag
    assert export(tenant, strength=0.5).headers["etag"] != tag
    out.services.exports.close()  # from now on nothing is made
    again = tenant.get("/adapters/icons/export", params={"format": "open_clip"}, headers={"If-None-Match": tag})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
    other = tenant.get("/adapters/icons/export", params={"format": "onnx"}, headers={"If-None-Match": tag})
    problem(other, 503, "unavailable")
    change(out, ok(tenant.get("/adapters/icons"))["id"], calibration={"temperature": 1.0, "unknown": None})
    changed = tenant.get("/adapters/icons/export", params={"format": "open_clip"}, headers={"If-None-Match": tag})
    problem(changed, 503, "unavailable")


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"format": "pickle"}, "'open_clip' or 'onnx'"),
        ({}, "format"),
        ({"format": "onnx", "strength": 1.5}, "strength"),
        ({"format": "onnx", "strength": "nan"}, "strength"),
    ],
)
def test_what_cannot_be_asked_is_named(tenant: TestClient, asked: dict[str, Any], named: str) -> None:
    assert named in problem(tenant.get("/adapters/icons/export", params=asked), 422, "invalid_request")["detail"]


def test_adapters_of_others_deleted_ones_and_the_base_are_not_found(out: Site, tenant: TestClient) -> None:
    adapter_id = ok(tenant.get("/adapters/icons"))["id"]
    other = out.new_tenant("other")
    tag = export(tenant).headers["etag"]
    for name in ("icons", adapter_id):
        problem(export(other, name=name), 404, "not_found")
        answer = other.get(f"/adapters/{name}/export?format=open_clip", headers={"If-None-Match": tag})
        problem(answer, 404, "not_found")
    problem(export(tenant, name="base"), 404, "not_found")
    assert tenant.delete("/adapters/icons").status_code == 204
    problem(export(tenant, name=adapter_id), 404, "not_found")


def test_an_adapter_of_another_base_is_a_mismatch(out: Site, tenant: TestClient) -> None:
    change(out, ok(tenant.get("/adapters/icons"))["id"], base_fingerprint="0" * 64)
    for form in ("open_clip", "onnx"):
        problem(export(tenant, form), 409, "base_mismatch")


def test_a_base_that_open_clip_did_not_build_is_not_exported(site: Site, client: TestClient) -> None:
    site.new_adapter(client)
    for form in ("open_clip", "onnx"):
        problem(export(client, form), 409, "export_unsupported")


def test_slots_are_bounded_and_no_tenant_has_all(out: Site, tenant: TestClient) -> None:
    full = out.with_settings(export_requests=4)
    client, slots = full.client(None), full.services.exports._slots
    client.headers.update(tenant.headers)
    key = tenant.headers["authorization"].removeprefix("Bearer ")
    tenant_id = anyio.run(full.services.key_cache.holder_of, hashed(key)).tenant_id
    anyio.run(slots.acquire, tenant_id, 1)
    assert export(client).status_code == 200
    anyio.run(slots.acquire, tenant_id, 1)
    answer = export(client)
    assert "export_requests" in problem(answer, 429, "busy")["detail"]
    assert int(answer.headers["retry-after"]) > 0
    slots.release(tenant_id, 1)
    anyio.run(slots.acquire, "others", 2)
    assert export(client).status_code == 200
    assert slots.taken == 3


def test_what_is_not_made_in_time_is_504_and_no_room_is_507(out: Site, tenant: TestClient) -> None:
    for settings, status, code in (
        ({"export_seconds": 1e-9}, 504, "deadline_passed"),
        ({"min_free_disk_bytes": 1 << 60}, 507, "disk_full"),
    ):
        changed = out.with_settings(**settings)
        client = changed.client(None)
        client.headers.update(tenant.headers)
        problem(export(client), status, code)
        assert changed.services.exports.under_way == 0


def test_what_a_killed_process_left_is_removed_and_nothing_else(out: Site, tenant: TestClient) -> None:
    folder = out.services.settings.data_dir
    old, young = folder / "export-old", folder / "export-young"
    for made in (old, young):
        made.mkdir()
        (made / "open_clip_model.safetensors").write_bytes(b"x")
    os.utime(old, (0, 0))
    assert export(tenant).status_code == 200
    assert not old.exists()
    assert (young / "open_clip_model.safetensors").exists()
    os.utime(young, (0, 0))
    assert export(tenant).status_code == 200


def test_an_export_ends_when_its_client_hangs_up(out: Site, tenant: TestClient) -> None:
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(name.encode().lower(), value.encode()) for name, value in tenant.headers.items()]
    scope = {
        "type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1", "method": "GET",
        "scheme": "http", "path": "/adapters/icons/export", "raw_path": b"/adapters/icons/export", "root_path": "",
        "query_string": b"format=onnx", "headers": headers, "client": ("test", 1), "server": ("test", 80),
    }  # fmt: skip
    anyio.run(out.app, scope, receive, send)
    assert sent[0]["status"] == 503


class Sent:
    """A download of three pieces, over a connection that breaks or stalls at the second."""

    def __init__(self, folder: Path, fails: Callable[[], Any]) -> None:
        self.file = (folder / "file").open("w+b")
        self.file.write(b"x" * 600_000)
        self.done = 0
        self._fails, self._bodies = fails, 0

    async def run(self, deadline: float) -> None:
        order = ExportRequest("onnx", "ad_1", lambda: None, lambda: None, 1.0, deadline)  # type: ignore[arg-type,return-value]
        response = Download(self.file, order, {}, self._end)
        scope = {"type": "http", "asgi": {"spec_version": "2.4"}, "method": "GET", "headers": []}
        await response(scope, silent, self._send)

    def _end(self) -> None:
        self.done += 1

    async def _send(self, message: Any) -> None:
        self._bodies += message["type"] == "http.response.body"
        if self._bodies == 2:
            await self._fails()


async def silent() -> Any:
    await anyio.sleep_forever()


async def broken() -> None:
    raise OSError("gone")


def test_a_file_is_gone_and_its_slot_free_however_sending_ends(tmp_path: Path) -> None:
    cut = Sent(tmp_path, broken)
    with pytest.raises(Exception):  # noqa: B017, PT011 (whatever the server's way of saying it is)
        anyio.run(cut.run, time.monotonic() + 60)
    stalled = Sent(tmp_path, anyio.sleep_forever)
    anyio.run(stalled.run, time.monotonic() + 0.2)
    for ended in (cut, stalled):
        assert (ended.file.closed, ended.done) == (True, 1)


def test_the_examples_of_the_docs_answer_as_classify(sessions: sessionmaker[Session], tmp_path: Path) -> None:
    plain, exact, onnx = re.findall(r"```python\n(.*?)```", DOCS, re.DOTALL)
    site = site_on(sessions, tmp_path, "embedded")
    client = site.new_tenant()
    adapter = site.new_adapter(client, values=0.0005)
    change(site, adapter["id"], calibration=CALIBRATION)
    unzipped(export(client).content, tmp_path).rename(tmp_path / "adapter")
    answer = export(client, "onnx")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/octet-stream"), answer.text
    (tmp_path / "adapter.onnx").write_bytes(answer.content)
    picture = png(5, size=300)
    (tmp_path / "picture.png").write_bytes(picture)

    def printed(*arguments: str) -> str:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    expected, unknown = classified(client, picture)
    assert json.loads(printed("-c", exact)) == pytest.approx(expected, abs=1e-5)
    assert json.loads(printed("-c", plain)) == pytest.approx(expected, abs=1e-4)
    assert json.loads(printed("-c", onnx)) == pytest.approx(expected, abs=1e-4)
    with Image.open(io.BytesIO(picture)) as image:
        pixels = site.services.engine.base.preprocess(image)[None].numpy()
    (found,) = onnxruntime.InferenceSession(answer.content).run(["unknown"], {"pixels": pixels})
    assert found[0] == pytest.approx(unknown, abs=1e-4)
    best = max(expected, key=lambda label: expected[label])
    said = printed("adapter/answers.py", "picture.png")
    assert said == f"picture.png: {best} {expected[best]:.3f}, none of the classes {unknown:.3f}"
