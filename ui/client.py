"""The page's only way to the service: a typed client of its HTTP API.

Every failure, also a service that does not answer, is an `ApiError`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, BinaryIO, Protocol, Self, TypeVar

import httpx

from ui.records import (
    Adapter,
    AddedImages,
    Answer,
    Collection,
    Dataset,
    DatasetImage,
    Job,
    Match,
    NewTenant,
    Order,
    Record,
    Rejected,
)

CONNECT_SECONDS = 5.0
# The service reads every image of an upload before it answers.
ANSWER_SECONDS = 600.0
# The service sends a sign of life on a quiet event stream well within this time.
SILENCE_SECONDS = 45.0
POLL_SECONDS = 1.5
PAGE_ITEMS = 100
MAX_LISTED = 1000

Item = TypeVar("Item", bound=Record)
# Made once: each event of the page has a client of its own, and reading the certificates takes some 30 ms.
_TLS = ssl.create_default_context()


class SentFile(Protocol):
    """A file to hand on."""

    @property
    def filename(self) -> str:
        """Without folders."""

    def open(self) -> BinaryIO:
        """A reader with a position of its own."""


class ApiError(Exception):
    """The service said no, or did not answer.

    `code` is stable, `detail` is for people, `status` is 0 where there was no answer; `extra` holds the other
    members of the problem document.
    """

    def __init__(self, code: str, detail: str, status: int = 0, extra: dict[str, Any] | None = None) -> None:
        self.code = code
        self.detail = detail
        self.status = status
        self.extra = extra or {}
        super().__init__(f"{code}: {detail}")

    @property
    def rejected(self) -> tuple[Rejected, ...]:
        """The files an upload was refused for."""
        entries = self.extra.get("rejected")
        return tuple(Rejected.read(entry) for entry in entries) if isinstance(entries, list) else ()


class ApiClient:
    """One caller's session with the service; use it as an async context manager."""

    def __init__(self, url: str, key: str = "", *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        headers = httpx.Headers({b"Authorization": f"Bearer {key}".encode()} if key else {})
        timeout = httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.AsyncClient(
            base_url=url, headers=headers, timeout=timeout, transport=transport, trust_env=False, verify=_TLS
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    # Keys

    async def check_key(self) -> None:
        """Raise ApiError `unauthorized` unless the key is somebody's."""
        await self._call("GET", "/datasets", params={"limit": 1})

    async def create_tenant(self, name: str) -> NewTenant:
        """Make a tenant; this client's key must be the admin key."""
        return NewTenant.read(await self._json("POST", "/tenants", json={"name": name}))

    # Datasets

    async def datasets(self) -> list[Dataset]:
        """The tenant's datasets, newest first."""
        return await self._list("/datasets", Dataset)

    async def dataset(self, dataset_id: str) -> Dataset:
        """One dataset."""
        return Dataset.read(await self._json("GET", f"/datasets/{dataset_id}"))

    async def create_dataset(self, name: str, archive: SentFile) -> Dataset:
        """Upload a zip with one folder per class; the file is streamed."""
        with archive.open() as stream:
            answer = await self._json(
                "POST",
                "/datasets",
                data={"name": name},
                files={"archive": (archive.filename, stream, "application/zip")},
            )
        return Dataset.read(answer)

    async def delete_dataset(self, dataset_id: str) -> None:
        """Delete a dataset and its images."""
        await self._call("DELETE", f"/datasets/{dataset_id}")

    async def dataset_images(self, dataset_id: str, at_most: int = MAX_LISTED) -> list[DatasetImage]:
        """The first images of a dataset, without their bytes."""
        return await self._list(f"/datasets/{dataset_id}/images", DatasetImage, at_most)

    async def dataset_image(self, dataset_id: str, position: int) -> bytes:
        """The file of one image."""
        return (await self._call("GET", f"/datasets/{dataset_id}/images/{position}")).content

    # Fine-tunes

    async def start(self, order: Order) -> Job:
        """Ask for a fine-tune; it is queued."""
        body = {"name": order.name, "dataset_id": order.dataset_id, "config": order.config}
        if order.test_dataset_id:
            body["test_dataset_id"] = order.test_dataset_id
        return Job.read(await self._json("POST", "/adapters", json=body))

    async def jobs(self) -> list[Job]:
        """The tenant's jobs, newest first."""
        return await self._list("/jobs", Job)

    async def job(self, job_id: str) -> Job:
        """One job as it stands."""
        return Job.read(await self._json("GET", f"/jobs/{job_id}"))

    async def cancel(self, job_id: str) -> None:
        """Ask a job to stop."""
        await self._call("POST", f"/jobs/{job_id}/cancel")

    async def watch(self, job_id: str) -> AsyncIterator[Job]:
        """The job each time it changes, until it has ended: by events, or by polling where no events get through."""
        try:
            async for job in self._job_events(job_id):
                yield job
                if job.final:
                    return
        except ApiError as error:
            if 400 <= error.status < 500:
                raise
        job = await self.job(job_id)
        yield job
        while not job.final:
            await asyncio.sleep(POLL_SECONDS)
            job = await self.job(job_id)
            yield job

    async def _job_events(self, job_id: str) -> AsyncIterator[Job]:
        timeout = httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS)
        headers = {"Accept": "text/event-stream"}
        try:
            async with self._http.stream("GET", f"/jobs/{job_id}/events", headers=headers, timeout=timeout) as response:
                if response.is_error:
                    await response.aread()
                    raise _problem(response)
                async for data in _event_data(response.aiter_lines()):
                    yield Job.read(data)
        except httpx.HTTPError as error:
            raise _no_answer(error) from error

    async def adapters(self) -> list[Adapter]:
        """The tenant's adapters, newest first."""
        return await self._list("/adapters", Adapter)

    async def adapter(self, adapter_id: str) -> Adapter:
        """One adapter."""
        return Adapter.read(await self._json("GET", f"/adapters/{adapter_id}"))

    # Use

    async def classify(
        self,
        adapter: str,
        image: bytes,
        labels: Sequence[str] | None = None,
        template: str | Sequence[str] | None = None,
    ) -> Answer:
        """What a model says of one image file. No labels: the adapter's own classes."""
        body: dict[str, Any] = {"adapter": adapter, "images": [base64.b64encode(image).decode()]}
        if labels is not None:
            body["labels"] = list(labels)
        if template is not None:
            body["template"] = template
        answer = await self._json("POST", "/classify", json=body)
        return Answer.read(answer)

    async def collections(self) -> list[Collection]:
        """The tenant's collections, newest first."""
        return await self._list("/collections", Collection)

    async def create_collection(self, name: str) -> Collection:
        """Make an empty collection."""
        answer = await self._json("POST", "/collections", json={"name": name})
        return Collection(answer["id"], answer["name"], answer.get("image_count", 0))

    async def add_images(self, collection_id: str, images: Sequence[SentFile]) -> AddedImages:
        """Add image files to a collection; they are streamed one after the other."""
        with ExitStack() as stack:
            files = [("files", (image.filename, stack.enter_context(image.open()))) for image in images]
            answer = await self._json("POST", f"/collections/{collection_id}/images", files=files)
        return AddedImages(len(answer["images"]), tuple(map(Rejected.read, answer["rejected"])))

    async def collection_image(self, collection_id: str, image_id: str) -> bytes:
        """The file of one image."""
        return (await self._call("GET", f"/collections/{collection_id}/images/{image_id}")).content

    async def retrieve(self, adapter: str, collection_id: str, query: str | bytes, top_k: int = 10) -> list[Match]:
        """The collection's images that fit a text, or look like an image file, best first."""
        body: dict[str, Any] = {"adapter": adapter, "collection_id": collection_id, "top_k": top_k}
        if isinstance(query, str):
            body["text"] = query
        else:
            body["image"] = base64.b64encode(query).decode()
        answer = await self._json("POST", "/retrieve", json=body)
        return [Match.read(entry) for entry in answer["results"]]

    # The wire

    async def _call(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise _no_answer(error) from error
        if not response.is_success:
            raise _problem(response)
        return response

    async def _json(self, method: str, path: str, **options: Any) -> dict[str, Any]:
        answer = (await self._call(method, path, **options)).json()
        return answer if isinstance(answer, dict) else {}

    async def _list(self, path: str, kind: type[Item], at_most: int = MAX_LISTED) -> list[Item]:
        items: list[Item] = []
        params: dict[str, Any] = {"limit": min(PAGE_ITEMS, at_most)}
        while True:
            page = await self._json("GET", path, params=params)
            items += [kind.read(item) for item in page["items"]]
            if not page.get("next_cursor") or len(items) >= at_most:
                return items[:at_most]
            params["cursor"] = page["next_cursor"]


def _no_answer(error: httpx.HTTPError) -> ApiError:
    """No answer came back, or only a part of one."""
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
        return ApiError("no_connection", "The service does not answer.")
    if isinstance(error, httpx.TimeoutException):
        return ApiError("timeout", "The service took too long to answer.")
    return ApiError("no_connection", "The connection to the service broke off.")


def _problem(response: httpx.Response) -> ApiError:
    """The problem document of an answer; also for answers that carry none, as a proxy's may."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        body = {}
    known = {"type", "title", "status", "code", "detail", "instance"}
    extra = {name: value for name, value in body.items() if name not in known}
    detail = body.get("detail")
    if not isinstance(detail, str) or not detail:
        detail = f"The service answered with status {response.status_code}."
    return ApiError(str(body.get("code", "error")), detail, response.status_code, extra)


async def _event_data(lines: AsyncIterator[str]) -> AsyncIterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events; comments and other fields are left aside."""
    data: list[str] = []
    async for line in lines:
        if line.startswith("data:"):
            data.append(line.removeprefix("data:").removeprefix(" "))
        elif not line and data:
            yield json.loads("\n".join(data))
            data = []
