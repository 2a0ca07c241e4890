"""Adapters: train, look, compare, publish, delete; in and out as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypedDict

from saft_client._endpoints import Endpoints
from saft_client._files import Content, named
from saft_client._flow import D, Flow, Items, call, listing
from saft_client._requests import WORK_SECONDS, Request, at, create, get, given, id_of, post, upload
from saft_client.records import Adapter, Comparison, Dataset, Job, Mistake

EXPORT_SECONDS = 660.0
"""Longer than the service gives itself for one, others in front of it included."""

Publish = Literal["auto", "if_better", "manual"]


class TrainingConfig(TypedDict, total=False):
    """How to train. What is left out is the default of the base model."""

    density: float
    learning_rate: float
    epochs: int
    batch_size: int
    seed: int
    template: str | list[str]
    encoders: Literal["both", "image", "text"]
    selection: Literal["mean_gradient", "fisher", "random", "smallest_magnitude"]
    patience_epochs: int
    weight_decay: float
    augment: Literal["none", "crop", "crop_flip"]
    shots: int
    evaluate: Literal["refit", "holdout", "none"]


class Adapters(Endpoints[D]):
    """Fine-tuned models. An adapter is named by an object of this package, its id, its name, or name@version."""

    @call
    def train(
        self,
        name: str,
        dataset: Dataset | str,
        *,
        test_dataset: Dataset | str | None = None,
        config: TrainingConfig | None = None,
        publish: Publish = "auto",
    ) -> Flow[Job]:
        """Queue a fine-tune; `jobs.wait` waits for it. Under the name of an adapter it makes the next version.

        publish: whether that answers the name then: "auto" always, "if_better" if it gets more images right, "manual"
        when it is published.
        """
        body = {"name": name, "dataset_id": id_of(dataset), "config": config or {}, "publish": publish}
        if test_dataset is not None:
            body["test_dataset_id"] = id_of(test_dataset)
        return self._record(Job, create("/adapters", body))

    @call
    def retrain(self, adapter: Adapter | str, *, publish: Publish = "auto") -> Flow[Job]:
        """Queue the next version on the service's present base, from the same datasets and with the same config."""
        return self._record(Job, create(at("adapters", id_of(adapter), "retrain"), {"publish": publish}))

    @call
    def get(self, adapter: Adapter | str) -> Flow[Adapter]:
        """One version; by a name the one that is published."""
        return self._record(Adapter, get(at("adapters", id_of(adapter))))

    @listing
    def list(self, *, name: str | None = None, published: bool | None = None) -> Items[Adapter]:
        """All versions, newest first; of one name, or only those that answer their name (or the others)."""
        wanted = None if published is None else str(published).lower()
        return self._pages(Adapter, "/adapters", name=name, published=wanted)

    @call
    def delete(self, adapter: Adapter | str) -> Flow[None]:
        """Delete a version, or by a name all of them. Raises Conflict for a published one that is not the only one."""
        return self._nothing(Request("DELETE", at("adapters", id_of(adapter))))

    @call
    def publish(self, adapter: Adapter | str) -> Flow[Adapter]:
        """Let this version answer its name from now on; an older one rolls back."""
        return self._record(Adapter, post(at("adapters", id_of(adapter), "publish")))

    @call
    def compare(
        self, adapter: Adapter | str, other: Adapter | str, *, dataset: Dataset | str | None = None
    ) -> Flow[Comparison]:
        """How often two versions say the same and who is right, on images that neither was trained on.

        dataset: on its images; left out: on those that both were measured on when they were trained.
        """
        params = given({"with": id_of(other), "dataset_id": None if dataset is None else id_of(dataset)})
        path = at("adapters", id_of(adapter), "compare")
        return self._record(Comparison, Request("GET", path, params=params, answer_seconds=WORK_SECONDS))

    @listing
    def mistakes(self, adapter: Adapter | str) -> Items[Mistake]:
        """The images that the adapter gets wrong: tested, held out and trained ones."""
        return self._pages(Mistake, at("adapters", id_of(adapter), "mistakes"))

    @call
    def export(
        self,
        adapter: Adapter | str,
        target: str | os.PathLike[str],
        *,
        format: Literal["open_clip", "onnx"] = "open_clip",  # noqa: A002 (as the service calls it)
        strength: float | None = None,
    ) -> Flow[Path]:
        """Write the base with the adapter in it to the file `target`, for open_clip (a zip of a folder) or as ONNX."""
        params = given({"format": format, "strength": strength})
        path = at("adapters", id_of(adapter), "export")
        return self._saved(Request("GET", path, params=params, answer_seconds=EXPORT_SECONDS), Path(target))

    @call
    def download_delta(self, adapter: Adapter | str, target: str | os.PathLike[str]) -> Flow[Path]:
        """Write the delta, the numbers that the fine-tune changed, to the file `target`."""
        return self._saved(get(at("adapters", id_of(adapter), "delta")), Path(target))

    @call
    def import_delta(
        self, delta: Content, name: str | None = None, *, publish: Literal["auto", "manual"] = "auto"
    ) -> Flow[Adapter]:
        """Bring in a delta that was made for the same base. name: the file's, if left out."""
        file = named((f"{name}.saft", delta) if name and isinstance(delta, bytes) else delta)
        form = {"name": name or Path(file.name).stem, "publish": publish}
        return self._record(Adapter, upload("/adapters/import", form, [file.part("file")]))
