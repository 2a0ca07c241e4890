"""Datasets: upload, look, delete."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import BinaryIO

from saft_client._endpoints import Endpoints
from saft_client._files import Content, in_folder, named, sendable
from saft_client._flow import D, Flow, Items, call, listing
from saft_client._requests import Request, at, create, get, given, id_of, upload
from saft_client.records import Dataset, DatasetImage


class Datasets(Endpoints[D]):
    """Labelled images."""

    @call
    def upload_folder(self, folder: str | os.PathLike[str], name: str | None = None) -> Flow[Dataset]:
        """Upload a folder with a folder per class, or with images and a labels file, as it would lie in a zip file.

        The files are streamed one after the other, whatever their number. name: the folder's, if left out. What could
        not be used is in `rejected`. Raises NotADirectoryError, ValueError for an empty folder or a name
        that is not UTF-8, InvalidRequest.
        """
        files = [file.part("files") for file in in_folder(folder)]
        form = {"name": name or sendable(Path(folder).resolve().name)}
        return self._record(Dataset, upload("/datasets", form, files))

    @call
    def upload_files(self, name: str, files: Iterable[tuple[str, Content]]) -> Flow[Dataset]:
        """Upload files that are named class/file, or as they would lie in a zip file; as `upload_folder` does."""
        parts = [named(file).part("files") for file in files]
        return self._record(Dataset, upload("/datasets", {"name": name}, parts))

    @call
    def upload_zip(self, archive: str | os.PathLike[str] | BinaryIO, name: str | None = None) -> Flow[Dataset]:
        """Upload a zip file with a folder per class, or with images and a labels file.

        archive: a path, or a file open for reading bytes, which is streamed. name: the path's, if left out. Raises
        InvalidRequest with the files it was `rejected` for.
        """
        if isinstance(archive, (str, os.PathLike)):
            name = name or Path(archive).stem
        file = named((f"{name or 'archive'}.zip", archive))
        return self._record(Dataset, upload("/datasets", {"name": name or "archive"}, [file.part("archive")]))

    @call
    def revise(
        self,
        dataset: Dataset | str,
        *,
        remove: Iterable[int] = (),
        relabel: Mapping[int, str] | None = None,
        add: Iterable[tuple[str, Content]] = (),
        name: str | None = None,
    ) -> Flow[Dataset]:
        """Make a dataset of another one, which stays as it is; nothing that is there is uploaded again.

        remove: positions of images to leave out. relabel: new labels by position. add: files named class/file. name:
        that of the dataset, if left out.
        """
        labels = [{"position": position, "label": label} for position, label in (relabel or {}).items()]
        changes = given({"name": name, "remove": list(remove), "relabel": labels})
        path, parts = at("datasets", id_of(dataset), "revisions"), [named(file).part("files") for file in add]
        if not parts:
            return self._record(Dataset, create(path, changes))
        return self._record(Dataset, upload(path, {"changes": json.dumps(changes)}, parts))

    @call
    def get(self, dataset: Dataset | str) -> Flow[Dataset]:
        """One dataset."""
        return self._record(Dataset, get(at("datasets", id_of(dataset))))

    @listing
    def list(self) -> Items[Dataset]:
        """All datasets, newest first."""
        return self._pages(Dataset, "/datasets")

    @call
    def delete(self, dataset: Dataset | str) -> Flow[None]:
        """Delete a dataset and its images. Adapters that were made from it stay."""
        return self._nothing(Request("DELETE", at("datasets", id_of(dataset))))

    @listing
    def images(self, dataset: Dataset | str) -> Items[DatasetImage]:
        """The images by position, without their bytes."""
        return self._pages(DatasetImage, at("datasets", id_of(dataset), "images"))

    @call
    def image(self, dataset: Dataset | str, position: int) -> Flow[bytes]:
        """The file of one image, as it was uploaded."""
        return self._bytes(at("datasets", id_of(dataset), "images", position))

    @call
    def thumbnail(self, dataset: Dataset | str, position: int, *, size: int | None = None) -> Flow[bytes]:
        """A WebP of one image, upright, at most `size` pixels wide and high: 32 to 512, 192 if left out."""
        return self._bytes(at("datasets", id_of(dataset), "images", position, "thumbnail"), size=size)
