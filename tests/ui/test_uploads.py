from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from api.multipart import BodyParser
from saft_client import ApiError
from saft_core.errors import InvalidInput
from ui.uploads import MAX_REQUESTS_HELD, MAX_REQUESTS_OF_ONE, UploadLimits, Uploads
from ui.visitors import Visitor

LIMITS = UploadLimits(request_bytes=4000, tenant_bytes=6000, total_bytes=9000, files=100, keep_seconds=60)
ANN, BEN, CAT = Visitor("ann's key"), Visitor("ben's key"), Visitor("cat's key")
CONTENT_TYPE = "multipart/form-data; boundary=limit"


def body(*files: tuple[str, bytes]) -> bytes:
    parts = (
        b'--limit\r\nContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n%b\r\n' % (name.encode(), data)
        for name, data in files
    )
    return b"".join(parts) + b"--limit--\r\n"


async def chunks(data: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def send(uploads: Uploads, visitor: Visitor, *files: tuple[str, bytes]) -> list[str]:
    return await uploads.receive(visitor, CONTENT_TYPE, chunks(body(*files)))


def run(work: Callable[[Uploads], Awaitable[Any]], limits: UploadLimits = LIMITS) -> Any:
    """The outcome of `work` on an empty store."""

    async def main() -> Any:
        return await work(Uploads(BodyParser, limits))

    return asyncio.run(main())


def files_open() -> int:
    """Temporary files without a name that this process has open, none that only waits to be collected."""
    gc.collect()
    found = 0
    for descriptor in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):  # the one of this listing
            found += os.readlink(descriptor).endswith(" (deleted)")
    return found


def test_what_is_sent_can_be_read_by_its_sender_alone() -> None:
    async def work(uploads: Uploads) -> None:
        one, two = await send(uploads, ANN, ("a.png", b"first"), ("b/c\\d.png", b"second"))
        assert (await uploads.read(ANN, one), await uploads.read(ANN, two)) == (b"first", b"second")
        assert [uploads.check(ANN, name).filename for name in (one, two)] == ["a.png", "d.png"]
        for visitor, name in ((BEN, one), (ANN, "/etc/passwd"), (ANN, ""), (ANN, one + "x")):
            with pytest.raises(ApiError, match="no longer here"):
                uploads.check(visitor, name)

    run(work)


def test_the_same_file_twice_is_two_uploads() -> None:
    async def work(uploads: Uploads) -> None:
        (one,), (two,) = [await send(uploads, ANN, ("same.zip", b"same")) for _ in range(2)]
        with uploads.taken(ANN, [one]) as (upload,):
            assert upload.read() == b"same"
        assert await uploads.read(ANN, two) == b"same"

    run(work)


def test_a_file_is_gone_with_its_use_and_its_room_is_free_again() -> None:
    async def work(uploads: Uploads) -> None:
        before = files_open()
        name, other = await send(uploads, ANN, ("a", b"x" * 1000), ("b", b"y"))
        with uploads.taken(ANN, [name, other]) as (upload, _):
            with pytest.raises(ApiError, match="no longer here"):
                uploads.check(ANN, name)
            assert uploads.bytes_held > 1000  # while it is read
            assert upload.read() == b"x" * 1000
        assert (uploads.bytes_held, files_open()) == (0, before)

    run(work)


def test_a_reader_keeps_its_file_when_another_takes_it() -> None:
    async def work(uploads: Uploads) -> None:
        (name,) = await send(uploads, ANN, ("a", b"x" * 1000))
        with uploads.lent(ANN, name) as lent, closing(lent.open()) as reader:
            with uploads.taken(ANN, [name]):
                pass
            (other,) = await send(uploads, BEN, ("b", b"z" * 1000))  # would get the descriptor of a closed file
            assert reader.read() == b"x" * 1000
        assert await uploads.read(BEN, other) == b"z" * 1000

    run(work)


@pytest.mark.parametrize(
    ("before", "size", "limit"),
    [
        ((), 4000, "max_upload_bytes"),
        ((ANN,), 3200, "max_page_tenant_bytes"),
        ((BEN, CAT), 3200, "max_page_total_bytes"),
    ],
)
def test_a_limit_is_named_and_what_was_refused_is_gone(before: tuple[Visitor, ...], size: int, limit: str) -> None:
    async def work(uploads: Uploads) -> None:
        for visitor in before:
            await send(uploads, visitor, ("before", b"x" * 3200))
        held, open_before = uploads.bytes_held, files_open()
        with pytest.raises(ApiError, match=limit) as refused:
            await send(uploads, ANN, ("now", b"x" * size))
        assert refused.value.status == 413
        assert (uploads.bytes_held, files_open()) == (held, open_before)

    run(work)


def test_what_comes_in_at_the_same_time_counts_together() -> None:
    async def work(uploads: Uploads) -> None:
        sent = [send(uploads, ANN, (str(number), b"x" * 3200)) for number in range(3)]
        outcomes = await asyncio.gather(*sent, return_exceptions=True)
        assert sum(isinstance(outcome, ApiError) for outcome in outcomes) >= 2

    run(work)


def test_a_file_that_nobody_uses_goes_by_itself() -> None:
    async def work(uploads: Uploads) -> None:
        (name,) = await send(uploads, ANN, ("a", b"x"))
        while uploads.bytes_held:
            await asyncio.sleep(0.01)
        with pytest.raises(ApiError, match="no longer here"):
            uploads.check(ANN, name)

    run(work, replace(LIMITS, keep_seconds=0.05))


def test_many_small_requests_of_one_key_push_out_its_oldest() -> None:
    async def work(uploads: Uploads) -> None:
        (kept,) = await send(uploads, BEN, ("b", b"b"))
        names = [(await send(uploads, ANN, ("a", b"a")))[0] for _ in range(MAX_REQUESTS_OF_ONE + 3)]
        for name in names[:3]:
            with pytest.raises(ApiError, match="no longer here"):
                uploads.check(ANN, name)
        assert await uploads.read(ANN, names[3]) == b"a"
        assert await uploads.read(BEN, kept) == b"b"

    run(work)


def test_many_keys_do_not_use_up_the_descriptors() -> None:
    async def work(uploads: Uploads) -> None:
        for number in range(MAX_REQUESTS_HELD):
            await send(uploads, Visitor(f"key {number}"), ("a", b""))
        with pytest.raises(ApiError, match="Try again") as refused:
            await send(uploads, ANN, ("a", b""))
        assert refused.value.status == 503

    run(work, replace(LIMITS, total_bytes=1 << 20))


@pytest.mark.parametrize("data", [b"", b"no multipart", body(("a", b"x"))[:-20]])
def test_a_broken_body_leaves_nothing(data: bytes) -> None:
    async def work(uploads: Uploads) -> None:
        before = files_open()
        with pytest.raises(InvalidInput):
            await uploads.receive(ANN, CONTENT_TYPE, chunks(data))
        with pytest.raises(InvalidInput):
            await uploads.receive(ANN, "text/plain", chunks(data))
        assert (uploads.bytes_held, files_open()) == (0, before)

    run(work)


def test_a_sender_who_goes_away_leaves_nothing() -> None:
    async def cut() -> AsyncIterator[bytes]:
        yield body(("a", b"x" * 100))[:50]
        raise ApiError("bad_request", "The request was cut short.", 400)

    async def work(uploads: Uploads) -> None:
        before = files_open()
        with pytest.raises(ApiError, match="cut short"):
            await uploads.receive(ANN, CONTENT_TYPE, cut())
        assert (uploads.bytes_held, files_open()) == (0, before)

    run(work)
