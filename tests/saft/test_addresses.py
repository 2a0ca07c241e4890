from __future__ import annotations

import asyncio
import socket
import stat
import tempfile
from pathlib import Path

import pytest

from saft.addresses import MAX_SOCKET_PATH_BYTES, bind, http_url, local_url, socket_folder
from saft_core.errors import Unavailable
from tests.fixtures.service import free_port


def test_a_port_that_is_taken_is_refused_by_its_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(Unavailable, match=f"127.0.0.1:{port} .*SAFT_PORT"):
            bind("127.0.0.1", port)


def test_a_free_port_is_ours_and_free_again_when_it_is_closed() -> None:
    port = free_port()
    with bind("127.0.0.1", port):
        pass
    socket.create_server(("127.0.0.1", port)).close()


def test_answers_do_not_wait_for_acknowledgements() -> None:
    async def nodelay() -> int:
        said: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            said.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        with bind("127.0.0.1", 0) as ours:
            async with await asyncio.start_server(connected, sock=ours):
                _, writer = await asyncio.open_connection(*ours.getsockname())
                writer.close()
                return await said

    assert asyncio.run(nodelay())


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("localhost", "http://localhost:8000"),
        ("::1", "http://[::1]:8000"),
        ("::", "http://[::]:8000"),
    ],
)
def test_an_ipv6_address_stands_in_brackets(host: str, url: str) -> None:
    assert http_url(host, 8000) == url


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8000"),
        ("::", "http://[::1]:8000"),
        ("192.0.2.1", "http://192.0.2.1:8000"),
        ("::1", "http://[::1]:8000"),
        ("localhost", "http://localhost:8000"),
    ],
)
def test_a_server_that_listens_everywhere_is_reached_on_the_loopback(host: str, url: str) -> None:
    assert local_url(host, 8000) == url


@pytest.mark.parametrize("name", ["x" * MAX_SOCKET_PATH_BYTES, "a b", "a,b", "ä"])
def test_a_folder_whose_name_no_socket_can_have_gets_a_short_private_one(name: str, tmp_path: Path) -> None:
    with socket_folder(Path("/") / name, "socket", None) as first, socket_folder(Path("/y") / name, "s", None) as other:
        assert first != other
        assert first.parent == Path(tempfile.gettempdir())
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(first / "socket"))
    assert not first.exists()
    with socket_folder(Path("/") / name, "socket", None) as again:
        assert again == first


def test_another_folder_is_used_as_it_is(tmp_path: Path) -> None:
    with socket_folder(Path("/data"), "socket", None) as folder:
        assert folder == Path("/data")


def test_a_short_folder_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket_folder(Path("/a b"), "socket", None) as folder:
        pass
    folder.mkdir()
    folder.chmod(0o755)
    with pytest.raises(Unavailable, match="TMPDIR"), socket_folder(Path("/a b"), "socket", None):
        pytest.fail("used")
    folder.rmdir()
    folder.symlink_to(tmp_path)
    with pytest.raises(Unavailable, match="TMPDIR"), socket_folder(Path("/a b"), "socket", None):
        pytest.fail("used")
