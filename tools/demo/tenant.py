"""One tenant of the demo: what a customer's own script would do."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import saft_client

TOP_K = 5


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

    def __init__(self, client: saft_client.Client, name: str, samples: Path, classes: Sequence[str]) -> None:
        self._client = client
        self._name = name
        self._classes = list(classes)
        self._test = _labelled(samples / "test", classes)
        self._shifted = _labelled(samples / "shifted", classes)
        self._train_set = self._upload(samples / "train")
        self._test_set = self._upload(samples / "test")
        self._collection = client.collections.create("test images")
        client.collections.add(self._collection, [(f"{label}/{path.name}", path) for label, path in self._test])

    def fine_tune(self, seed: int) -> Adapter:
        """Start a fine-tune and watch it to its end."""
        started = time.monotonic()
        print(f"{self._name}: teaching {len(self._classes)} classes (seed {seed}), about half a minute.", flush=True)
        job = self._client.adapters.train(
            f"photos-{seed}", self._train_set, test_dataset=self._test_set, config={"seed": seed}
        )
        try:
            job = self._client.jobs.wait(job, progress=True)
        except saft_client.JobFailed as error:
            sys.exit(f"{self._name}: the job ended as {error.job.status}: {error.detail}")
        adapter = self._client.adapters.get(str(job.adapter_id))
        seconds = time.monotonic() - started
        return Adapter(adapter.id, seed, seconds, adapter.delta_bytes, dict(adapter.metrics))

    def measure(self, adapter: Adapter) -> Outcome:
        """Base and adapter side by side, through /classify and /retrieve."""
        return Outcome(self._name, len(self._classes), adapter, self._quality("base"), self._quality(adapter.id))

    def check_cannot_see(self, foreign: Adapter) -> None:
        """Another tenant's adapter must look as if it did not exist."""
        try:
            self._client.adapters.get(foreign.id)
        except saft_client.NotFound:
            return
        sys.exit(f"{self._name} can see another tenant's adapter")

    def _quality(self, adapter: str) -> Quality:
        return Quality(
            self._accuracy(adapter, self._test), self._accuracy(adapter, self._shifted), self._precision(adapter)
        )

    def _accuracy(self, adapter: str, images: Sequence[tuple[str, Path]]) -> float:
        results = self._client.classify([path for _, path in images], adapter, labels=self._classes, top_k=1)
        return sum(result.label == label for result, (label, _) in zip(results, images, strict=True)) / len(images)

    def _precision(self, adapter: str) -> float:
        """precision@5 of searching the test images for each class by its name."""
        hits = 0
        for label in self._classes:
            text = f"a photo of a {label.replace('_', ' ')}."
            found = self._client.retrieve(self._collection, text, adapter=adapter, top_k=TOP_K)
            hits += sum(match.filename.split("/")[0] == label for match in found)
        return hits / (TOP_K * len(self._classes))

    def _upload(self, folder: Path) -> saft_client.Dataset:
        """The tenant's classes of a folder."""
        return self._client.datasets.upload_files(
            folder.name, [(f"{label}/{path.name}", path) for label, path in _labelled(folder, self._classes)]
        )


def _labelled(folder: Path, classes: Sequence[str]) -> list[tuple[str, Path]]:
    return [(label, path) for label in classes for path in sorted((folder / label).iterdir())]
