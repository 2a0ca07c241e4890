"""Collections: searchable images."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from saft_client._endpoints import Endpoints
from saft_client._files import Image, Named, batches
from saft_client._flow import D, Flow, Items, call, listing
from saft_client._requests import Request, at, create, get, id_of, upload
from saft_client.errors import InvalidRequest
from saft_client.records import AddedImages, Collection, CollectionImage

Metadata = Mapping[str, Any]
"""Flat: texts, numbers, booleans, None or lists of texts."""


class Collections(Endpoints[D]):
    """Images that can be searched."""

    @call
    def create(self, name: str) -> Flow[Collection]:
        """Make an empty collection."""
        return self._record(Collection, create("/collections", {"name": name}))

    @call
    def get(self, collection: Collection | str) -> Flow[Collection]:
        """One collection."""
        return self._record(Collection, get(at("collections", id_of(collection))))

    @listing
    def list(self) -> Items[Collection]:
        """All collections, newest first."""
        return self._pages(Collection, "/collections")

    @call
    def delete(self, collection: Collection | str) -> Flow[None]:
        """Delete a collection and its images."""
        return self._nothing(Request("DELETE", at("collections", id_of(collection))))

    @call
    def add(
        self,
        collection: Collection | str,
        images: Image | Iterable[Image],
        *,
        metadata: Sequence[Metadata | None] | None = None,
    ) -> Flow[AddedImages]:
        """Add images, any number, in as many requests as it takes; what could not be used is in `rejected`.

        metadata: one entry an image, in their order; None for an image without. Raises InvalidRequest with code
        `no_images` where none can be used, and ValueError where there are not as many entries as images.
        """
        path, done, refused = at("collections", id_of(collection), "images"), 0, None
        found = AddedImages((), ())
        for batch in batches(images):
            said = None if metadata is None else metadata[done : done + len(batch)]
            done += len(batch)
            try:
                added = yield from self._record(AddedImages, _addition(path, batch, said))
            except InvalidRequest as error:
                if error.code != "no_images":
                    raise
                refused, added = error, AddedImages((), error.rejected)
            found = AddedImages(found.images + added.images, found.rejected + added.rejected)
        if metadata is not None and done != len(metadata):
            raise ValueError(f"metadata: {len(metadata)} entries for {done} images")
        if refused is not None and not found.images:
            raise refused
        return found

    @listing
    def images(self, collection: Collection | str) -> Items[CollectionImage]:
        """The images, newest first, without their bytes."""
        return self._pages(CollectionImage, at("collections", id_of(collection), "images"))

    @call
    def image(self, collection: Collection | str, image: str) -> Flow[bytes]:
        """The file of one image, as it was uploaded."""
        return self._bytes(at("collections", id_of(collection), "images", id_of(image)))

    @call
    def thumbnail(
        self, collection: Collection | str, image: CollectionImage | str, *, size: int | None = None
    ) -> Flow[bytes]:
        """A WebP of one image, upright, at most `size` pixels wide and high: 32 to 512, 192 if left out."""
        return self._bytes(at("collections", id_of(collection), "images", id_of(image), "thumbnail"), size=size)

    @call
    def set_metadata(
        self, collection: Collection | str, image: CollectionImage | str, metadata: Metadata
    ) -> Flow[CollectionImage]:
        """Replace the metadata of one image."""
        path = at("collections", id_of(collection), "images", id_of(image), "metadata")
        return self._record(CollectionImage, Request("PUT", path, json=dict(metadata)))

    @call
    def delete_image(self, collection: Collection | str, image: CollectionImage | str) -> Flow[None]:
        """Delete one image."""
        return self._nothing(Request("DELETE", at("collections", id_of(collection), "images", id_of(image))))


def _addition(path: str, files: Sequence[Named], metadata: Sequence[Metadata | None] | None) -> Request:
    if metadata is not None and len(metadata) != len(files):
        raise ValueError("metadata: there are fewer entries than images")
    form = {} if metadata is None else {"metadata": [json.dumps(entry) for entry in metadata]}
    return upload(path, form, [file.part("files") for file in files])
