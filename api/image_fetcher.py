"""Images by URL: fetched into temporary files, within bounds of time, size and number.

What was checked is what is connected to: a name is resolved once, each of its addresses is checked, and the connection
goes to one of these, while TLS and the `Host` header have the name. Nothing is taken from the environment.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import IO

import anyio
import httpx
from anyio import from_thread

from api.concurrency.budget import Budget
from api.disk import check_free_space
from api.image_urls import AllowedHosts, IpAddress, Target, is_public
from saft_core.data.images import check_file_size
from saft_core.errors import DeadlinePassed, InvalidImage
from saft_core.serving.shares import CLIENT
from saft_core.settings import Settings

AT_ONCE = 8
"""Images that one request fetches at a time; the setting `image_url_requests` is no less."""
MAX_REDIRECTS = 3
MAX_ADDRESSES = 3
"""Addresses of one host that are tried, one after the other."""
HEADERS = {"User-Agent": "saft", "Accept": "image/*", "Accept-Encoding": "identity"}
REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass(frozen=True)
class Network:
    """Which IP addresses may be connected to, and the TLS context; None trusts the usual certificate authorities."""

    allows: Callable[[IpAddress], bool] = is_public
    trust: ssl.SSLContext | None = None


class ImageFetcher:
    """Fetches images by URL for all requests of the process. To be called in threads that anyio started."""

    def __init__(self, settings: Settings, network: Network) -> None:
        self._settings, self._network = settings, network
        self._hosts = AllowedHosts(settings.image_urls)
        self.slots = Budget("image_url_requests", settings.image_url_requests, "slots")

    @cached_property
    def _trust(self) -> ssl.SSLContext:
        return self._network.trust or httpx.create_ssl_context()

    @contextmanager
    def fetched(self, urls: Sequence[str], deadline: float) -> Iterator[list[IO[bytes] | InvalidImage]]:
        """A temporary file, or the error, for each of AT_ONCE URLs at most; the files are gone after the context.

        deadline: on `time.monotonic()`'s clock. Raises Busy where no slot comes free, DeadlinePassed and DiskFull.
        """
        with self._slots(len(urls)), ExitStack() as stack:
            check_free_space(self._settings)
            folder = self._settings.data_dir
            files = [stack.enter_context(tempfile.TemporaryFile(dir=folder)) for _ in urls]
            errors = from_thread.run(self._fetch_all, urls, files, deadline)
            yield [error or file for error, file in zip(errors, files, strict=True)]

    @contextmanager
    def _slots(self, count: int) -> Iterator[None]:
        share = CLIENT.get().share
        from_thread.run(self.slots.acquire, share, count)
        try:
            yield
        finally:
            from_thread.run_sync(self.slots.release, share, count)

    async def _fetch_all(
        self, urls: Sequence[str], files: Sequence[IO[bytes]], deadline: float
    ) -> list[InvalidImage | None]:
        errors: list[InvalidImage | None] = [None] * len(urls)

        async def one(number: int) -> None:
            try:
                await self._fetch(urls[number], files[number], deadline)
            except InvalidImage as error:
                errors[number] = error

        async with anyio.create_task_group() as tasks:
            for number in range(len(urls)):
                tasks.start_soon(one, number)
        if time.monotonic() > deadline:
            raise DeadlinePassed
        return errors

    async def _fetch(self, text: str, file: IO[bytes], deadline: float) -> None:
        """Write what is at an address to the file. Raises InvalidImage."""
        seconds = min(self._settings.image_url_seconds, deadline - time.monotonic())
        try:
            with anyio.fail_after(max(0.0, seconds)):
                await self._follow(text, file)
        except TimeoutError as error:
            raise _failed(f"was not there within {self._settings.image_url_seconds:g} seconds") from error
        except (httpx.HTTPError, httpx.InvalidURL, ssl.SSLError) as error:
            raise _failed("could not be fetched: the host does not answer as it should") from error

    async def _follow(self, text: str, file: IO[bytes]) -> None:
        for _ in range(1 + MAX_REDIRECTS):
            target = self._hosts.target(text)
            location = await self._visit(target, file)
            if location is None:
                return
            text = str(target.url.join(location))
        raise _failed(f"leads on more than {MAX_REDIRECTS} times")

    async def _visit(self, target: Target, file: IO[bytes]) -> str | None:
        """The location of a redirect, or None once the content is in the file."""
        for number, address in enumerate(addresses := await self._addresses(target), 1):
            try:
                return await self._get(target, address, file)
            except (httpx.ConnectError, httpx.ConnectTimeout):
                if number == len(addresses):
                    raise
        raise _failed("has a host that is not known")

    async def _addresses(self, target: Target) -> list[IpAddress]:
        """The IP addresses of the host. Raises InvalidImage where it has none, or one that may not be connected to."""
        try:
            found = await anyio.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise _failed("has a host that is not known") from error
        addresses = list(dict.fromkeys(ipaddress.ip_address(place[0]) for *_, place in found))
        if not all(map(self._network.allows, addresses)):
            raise InvalidImage(
                "The URL's host is not in the public internet. Send the file itself.", code="host_not_allowed"
            )
        return addresses[:MAX_ADDRESSES]

    async def _get(self, target: Target, address: IpAddress, file: IO[bytes]) -> str | None:
        headers = HEADERS | {"Host": target.url.netloc.decode("ascii")}
        url = target.url.copy_with(host=str(address))
        client = httpx.AsyncClient(trust_env=False, verify=self._trust, timeout=self._settings.image_url_seconds)
        async with (
            client,
            client.stream("GET", url, headers=headers, extensions={"sni_hostname": target.host}) as answer,
        ):
            if answer.status_code in REDIRECTS and "location" in answer.headers:
                return str(answer.headers["location"])
            await self._save(answer, file)
        return None

    async def _save(self, answer: httpx.Response, file: IO[bytes]) -> None:
        if answer.status_code != httpx.codes.OK:
            raise _failed(f"answers with status {answer.status_code}")
        if answer.headers.get("content-encoding", "identity").lower() != "identity":
            raise _failed("answers with packed content, which was not asked for")
        most, size = self._settings.limits.max_image_bytes, 0
        announced = answer.headers.get("content-length", "")
        check_file_size(int(announced) if announced.isascii() and announced.isdigit() else 0, most)
        async for chunk in answer.aiter_raw():
            size += len(chunk)
            check_file_size(size, most)
            file.write(chunk)
        file.flush()


def _failed(why: str) -> InvalidImage:
    return InvalidImage(f"The URL {why}. Look whether a browser shows it, or send the file itself.", code="url_failed")
