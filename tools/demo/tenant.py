"""One tenant of the demo: what a customer's own script would do."""

from __future__ import annotations

import io
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

TOP_K = 5
IMAGES_PER_REQUEST = 64


@dataclass(frozen=True)
class Adapter:
    """A finished fine-tune."""

    id: str
    seed: int
    seconds: float
    delta_bytes: int
    metrics: dict[str, Any]


@dataclass(frozen=True)
class Quality:
    """Shares between 0 and 1."""

    test: float
    shifted: float
    precision: float


@dataclass(frozen=True)
class Outcome:
    """The base and one adapter on the same images."""

    tenant: str
    classes: int
    adapter: Adapter
    zero_shot: Quality
    adapted: Quality


class Tenant:
    """A tenant with its key, its datasets and its collection."""

    def __init__(self, client: httpx.Client, name: str, samples: Path, classes: Sequence[str]) -> None:
        self._client = client
        self._name = name
        self._classes = list(classes)
        self._test = _labelled(samples / "test", classes)
        self._shifted = _labelled(samples / "shifted", classes)
        self._train_id = self._upload("train", _labelled(samples / "train", classes))
        self._test_id = self._upload("test", self._test)
        self._collection_id = self._collect()

    @classmethod
    def create(cls, url: str, admin_key: str, name: str, samples: Path, classes: Sequence[str]) -> Tenant:
        """Make a tenant and upload its images."""
        answer = httpx.post(f"{url}/tenants", json={"name": name}, headers={"Authorization": f"Bearer {admin_key}"})
        key = answer.raise_for_status().json()["api_key"]
        client = httpx.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=120)
        return cls(client, name, samples, classes)

    def fine_tune(self, seed: int) -> Adapter:
        """Start a fine-tune and watch it to its end."""
        body = {
            "name": f"photos-{seed}",
            "dataset_id": self._train_id,
            "test_dataset_id": self._test_id,
            "config": {"seed": seed},
        }
        started = time.monotonic()
        job = self._post("/adapters", json=body)
        while job["status"] in ("queued", "running"):
            _show(f"{self._name}: {job['phase']} {job['progress']:4.0%}, loss {job['loss'] or 0:.3f}")
            time.sleep(0.5)
            job = self._client.get(f"/jobs/{job['id']}").raise_for_status().json()
        _show("")
        if job["status"] != "succeeded":
            sys.exit(f"{self._name}: the job ended as {job['status']}: {job['error']}")
        adapter = self._client.get(f"/adapters/{job['adapter_id']}").raise_for_status().json()
        seconds = time.monotonic() - started
        return Adapter(adapter["id"], seed, seconds, adapter["delta_bytes"], adapter["metrics"])

    def measure(self, adapter: Adapter) -> Outcome:
        """Base and adapter side by side, through /classify and /retrieve."""
        return Outcome(self._name, len(self._classes), adapter, self._quality("base"), self._quality(adapter.id))

    def check_cannot_see(self, foreign: Adapter) -> None:
        """Another tenant's adapter must look as if it did not exist."""
        status = self._client.get(f"/adapters/{foreign.id}").status_code
        if status != httpx.codes.NOT_FOUND:
            sys.exit(f"{self._name} can see another tenant's adapter: status {status}")

    def _quality(self, adapter: str) -> Quality:
        return Quality(
            self._accuracy(adapter, self._test), self._accuracy(adapter, self._shifted), self._precision(adapter)
        )

    def _accuracy(self, adapter: str, images: Sequence[tuple[str, Path]]) -> float:
        right = 0
        for start in range(0, len(images), IMAGES_PER_REQUEST):
            part = images[start : start + IMAGES_PER_REQUEST]
            files = [("files", (path.name, path.read_bytes())) for _, path in part]
            form = {"adapter": adapter, "labels": self._classes, "top_k": "1"}
            results = self._post("/classify", files=files, data=form)["results"]
            answers = [result["predictions"][0]["label"] for result in results]
            right += sum(answer == label for answer, (label, _) in zip(answers, part, strict=True))
        return right / len(images)

    def _precision(self, adapter: str) -> float:
        """precision@5 of searching the test images for each class by its name."""
        hits = 0
        for label in self._classes:
            body = {
                "adapter": adapter,
                "collection_id": self._collection_id,
                "text": f"a photo of a {label.replace('_', ' ')}.",
                "top_k": TOP_K,
            }
            results = self._post("/retrieve", json=body)["results"]
            hits += sum(result["filename"].split("/")[0] == label for result in results)
        return hits / (TOP_K * len(self._classes))

    def _upload(self, name: str, images: Sequence[tuple[str, Path]]) -> str:
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w") as file:
            for label, path in images:
                file.write(path, f"{label}/{path.name}")
        files = {"archive": (f"{name}.zip", archive.getvalue(), "application/zip")}
        return str(self._post("/datasets", files=files, data={"name": name})["id"])

    def _collect(self) -> str:
        collection = str(self._post("/collections", json={"name": "test images"})["id"])
        files = [("files", (f"{label}/{path.name}", path.read_bytes())) for label, path in self._test]
        self._post(f"/collections/{collection}/images", files=files)
        return collection

    def _post(self, path: str, **request: Any) -> dict[str, Any]:
        answer = self._client.post(path, **request)
        if answer.is_error:
            sys.exit(f"{path}: {answer.status_code} {answer.text}")
        body: dict[str, Any] = answer.json()
        return body


def _labelled(folder: Path, classes: Sequence[str]) -> list[tuple[str, Path]]:
    return [(label, path) for label in classes for path in sorted((folder / label).iterdir())]


def _show(text: str) -> None:
    """A line that the next one replaces; plain silence where nobody watches."""
    if sys.stdout.isatty():
        print(f"\r\033[K{text}", end="", flush=True)
