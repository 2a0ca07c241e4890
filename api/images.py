"""Image files of requests and of the store, from base64, a form, a URL or a blob to the engine's input tensors."""

from __future__ import annotations

import base64
import binascii
import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import IO, TypeVar

from fastapi import Response
from PIL import Image
from torch import Tensor

from api.concurrency.slots import Slots
from api.image_fetcher import AT_ONCE, ImageFetcher, Network
from api.image_urls import is_url
from api.multipart import Upload
from saft_core.data.images import check_file_size, open_image, open_to_check
from saft_core.data.limits import DataLimits
from saft_core.data.semaphore import WeightedSemaphore
from saft_core.errors import InvalidImage
from saft_core.serving.engine import Engine
from saft_core.serving.shares import CLIENT
from saft_core.settings import Limits, Settings
from saft_core.store.blobs import BlobStore, ImageFile

Item = TypeVar("Item")
IMAGES_PER_BATCH = 64
FILE_SHARE = 4
"""One in FILE_SHARE parts of `picture_memory_bytes` is for encoded files, the rest for their pixels."""
FILE_COPIES = 3
"""Copies of a file in memory while it is opened: as sent, decoded from base64, and cut down to the image."""

SAFE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": "default-src 'none'",
    "Cache-Control": "private, max-age=31536000, immutable",
}
"""Headers that keep a browser from taking a tenant's file for anything but an image."""

_BASE64_URI = re.compile(r"data:[^,]*;base64,", re.IGNORECASE)
_WHITE_SPACE = b" \t\r\n\f\v"


def picture(data: bytes, media_type: str) -> Response:
    """The response with a stored image file."""
    return Response(data, media_type=media_type, headers=SAFE_HEADERS)


def from_base64(text: str, max_image_bytes: int) -> bytes:
    """The bytes of a base64 text, with or without `data:...;base64,` before it; white space is ignored.

    The alphabet is that of RFC 4648, section 4, with its padding: that of URLs is refused. Raises InvalidImage.
    """
    start = text.find(",") + 1 if text[:5].lower() == "data:" else 0
    if start and not _BASE64_URI.fullmatch(text, 0, start):
        raise _not_base64("The data URI is not in base64; it has to begin as in data:image/png;base64,")
    try:
        packed = text[start:].encode("ascii").translate(None, _WHITE_SPACE)
        check_file_size(len(packed) // 4 * 3 - packed[-2:].count(b"="), max_image_bytes)
        return base64.b64decode(packed, validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise _not_base64("This is not base64: letters, digits, + and /, padded with = to fours.") from error


def _not_base64(message: str) -> InvalidImage:
    return InvalidImage(message, code="not_base64")


@dataclass(frozen=True)
class ImageSource:
    """An image file that is read when its turn comes. name: for errors. size: at most so many bytes."""

    name: str
    size: int
    read: Callable[[], bytes]


@dataclass(frozen=True)
class RemoteImage(ImageSource):
    """An image at a URL, which `ImageReader.fetched` fetches before it is read."""

    url: str = ""


def sent_as_text(name: str, text: str, limits: Limits) -> ImageSource:
    """The image of a JSON body: base64, or its URL."""
    if is_url(text):
        return RemoteImage(name, limits.max_image_bytes, _not_fetched, text)
    return ImageSource(name, len(text), partial(from_base64, text, limits.max_image_bytes))


def _not_fetched() -> bytes:
    raise AssertionError("an image by URL is read after it was fetched")


def _fetched(name: str, found: IO[bytes] | InvalidImage) -> ImageSource:
    """A fetched image; one that could not be fetched raises its error when it is read."""
    if isinstance(found, InvalidImage):
        return ImageSource(name, 0, partial(_raise, found))
    size = found.seek(0, io.SEEK_END)
    found.seek(0)
    return ImageSource(name, size, found.read)


def _raise(error: InvalidImage) -> bytes:
    raise error


def read_image(file: Upload, limits: Limits) -> bytes:
    """The bytes of one image file. Raises InvalidImage before reading what is too large."""
    check_file_size(file.size, limits.max_image_bytes)
    return file.read()


def sent_as_file(name: str, file: Upload, limits: Limits) -> ImageSource:
    """The image of a multipart form."""
    return ImageSource(name, min(file.size, limits.max_image_bytes), partial(read_image, file, limits))


def stored(name: str, blobs: BlobStore, file: ImageFile) -> ImageSource:
    """An image file of a dataset or a collection; reading it raises NotFound when it is gone."""
    return ImageSource(name, blobs.size(file), partial(blobs.get, file))


class ImageReader:
    """Decodes and prepares images for the engine, within one memory budget of the process. Thread-safe.

    Every method may raise Busy: `slots` at once, the others at the deadline (on `time.monotonic()`'s clock).
    """

    def __init__(self, engine: Engine, settings: Settings, network: Network | None = None) -> None:
        self._engine = engine
        self._fetcher = ImageFetcher(settings, network or Network())
        self._limits = DataLimits.from_attributes(settings.limits)
        self._patience = settings.request_deadline_seconds
        files = settings.picture_memory_bytes // FILE_SHARE
        self.files = WeightedSemaphore(files, "picture_memory_bytes")
        self.pixels = WeightedSemaphore(settings.picture_memory_bytes - files, "picture_memory_bytes")
        self.prepared = Slots(settings.queue_images, "queue_images")

    def slots(self, count: int) -> AbstractContextManager[None]:
        """Hold slots for so many prepared images: enter before the first one is prepared, leave with the answer."""
        return self.prepared.acquired(CLIENT.get().share, count)

    @contextmanager
    def fetched(self, sources: Sequence[ImageSource], deadline: float) -> Iterator[Sequence[ImageSource]]:
        """The same sources with those at a URL fetched; at most as many as `in_batches` gives.

        To be entered before `slots`, which no request may hold while a host is slow. An image that cannot be fetched
        raises its InvalidImage when it is prepared.
        """
        remote = [source for source in sources if isinstance(source, RemoteImage)]
        if not remote:
            yield sources
            return
        CLIENT.get().rest()
        with self._fetcher.fetched([source.url for source in remote], deadline) as found:
            files = {id(source): _fetched(source.name, file) for source, file in zip(remote, found, strict=True)}
            yield [files.get(id(source), source) for source in sources]

    def prepare(self, source: ImageSource, deadline: float) -> Tensor:
        """The image as the model takes it, float32 (3, size, size); its file and pixels are freed.

        Raises InvalidImage naming the source.
        """
        if isinstance(source, RemoteImage):
            with self.fetched([source], deadline) as (file,):
                return self.prepare(file, deadline)
        with self.decoded(source, self._engine.base.image_side, deadline) as image:
            return self._engine.prepare(image, deadline)

    @contextmanager
    def decoded(self, source: ImageSource, side: int, deadline: float) -> Iterator[Image.Image]:
        """The decoded image, as `open_image` gives it for a model input of `side` pixels, while the context is open.

        Raises InvalidImage naming the source.
        """
        CLIENT.get().compute(deadline)
        with _naming(source.name), self.files.reserved(FILE_COPIES * source.size, deadline):
            opened = open_image(source.read(), self._limits, side)
            with self.pixels.reserved(opened.memory_bytes, deadline):
                yield opened.decode()

    def check(self, data: bytes) -> str:
        """The media type of an image file that can be decoded. Raises InvalidImage."""
        opened = open_to_check(data, self._limits)
        with self.pixels.reserved(opened.memory_bytes, time.monotonic() + self._patience):
            opened.decode()
        return opened.media_type


def in_batches(items: Sequence[Item]) -> Iterator[Sequence[Item]]:
    """Slices of the items: IMAGES_PER_BATCH for the engine, or AT_ONCE if some have to be fetched."""
    size = AT_ONCE if any(isinstance(item, RemoteImage) for item in items) else IMAGES_PER_BATCH
    return (items[start : start + size] for start in range(0, len(items), size))


@contextmanager
def _naming(where: str) -> Iterator[None]:
    """Puts `where`, a file's name or a field, before the message of any InvalidImage."""
    try:
        yield
    except InvalidImage as error:
        raise InvalidImage(f"{where}: {error.message}", code=error.error_code, where=where) from error
