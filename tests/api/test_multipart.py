from __future__ import annotations

import hashlib
import io
import os
import tempfile
import tracemalloc
from collections.abc import Iterator
from typing import IO

import pytest

from api.multipart import MAX_FIELDS, MAX_TEXT_BYTES, BodyParser, Upload
from saft_core.errors import InvalidInput

TYPE = "multipart/form-data; boundary=XX"


@pytest.fixture
def spool() -> Iterator[IO[bytes]]:
    with tempfile.TemporaryFile() as file:
        yield file


def part(name: str, content: bytes, filename: str | None = None) -> bytes:
    ending = "" if filename is None else f'; filename="{filename}"'
    return f'--XX\r\nContent-Disposition: form-data; name="{name}"{ending}\r\n\r\n'.encode() + content + b"\r\n"


def parse(spool: IO[bytes], body: bytes, step: int = 1 << 16, max_files: int = 10) -> list[tuple[str, str | Upload]]:
    parser = BodyParser(TYPE, spool, max_files)
    for start in range(0, len(body), step):
        parser.feed(body[start : start + step])
    parser.finish()
    return parser.items


def shown(items: list[tuple[str, str | Upload]]) -> list[tuple[object, ...]]:
    return [(name, v) if isinstance(v, str) else (name, v.filename, v.size, v.read()) for name, v in items]


CONTENT = b"\r\n--X\r\n--XX-\x00\xff\r\n" * 50
BODY = (
    part("name", "Müller".encode()) + part("files", CONTENT, "cat/1.png") + part("files", b"", "ü.png") + b"--XX--\r\n"
)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 64, 10_000])
def test_a_body_reads_the_same_in_pieces_of_any_size(spool: IO[bytes], step: int) -> None:
    assert shown(parse(spool, BODY, step)) == [
        ("name", "Müller"),
        ("files", "cat/1.png", len(CONTENT), CONTENT),
        ("files", "ü.png", 0, b""),
    ]


@pytest.mark.parametrize("codec", ["latin-1", "gbk", "shift-jis"])
def test_texts_and_file_names_in_another_encoding_are_refused_and_named(spool: IO[bytes], codec: str) -> None:
    name = {"latin-1": "été", "gbk": "狗", "shift-jis": "ネコ"}[codec].encode(codec)
    bodies = {
        "a file name": part("files", b"", "NAME/1.png").replace(b"NAME", name),
        "field 'labels'": part("labels", name),
        "a field's name": part("NAME", b"").replace(b"NAME", name),
    }
    for what, body in bodies.items():
        with pytest.raises(InvalidInput, match=f"^{what} is not in UTF-8") as caught:
            parse(spool, body + b"--XX--")
        assert caught.value.error_code == "name_encoding"


def test_contents_are_hashed_on_the_way(spool: IO[bytes]) -> None:
    _, (_, first), (_, second) = parse(spool, BODY)
    assert isinstance(first, Upload)
    assert isinstance(second, Upload)
    assert first.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert second.sha256 == hashlib.sha256(b"").hexdigest()


def test_an_upload_reads_like_a_file_of_its_own(spool: IO[bytes]) -> None:
    items = parse(
        spool, part("a", b"before", "a") + part("b", b"0123456789", "b") + part("c", b"after", "c") + b"--XX--"
    )
    upload = items[1][1]
    assert isinstance(upload, Upload)
    with upload.open() as file, upload.open() as other:
        reference = io.BytesIO(b"0123456789")
        for offset, whence in (
            (3, os.SEEK_SET),
            (-4, os.SEEK_END),
            (2, os.SEEK_CUR),
            (99, os.SEEK_SET),
            (0, os.SEEK_SET),
        ):
            assert file.seek(offset, whence) == reference.seek(offset, whence)
            assert file.read(3) == reference.read(3)
        assert other.read() == b"0123456789"
        with pytest.raises(ValueError, match="negative"):
            file.seek(-1)
    assert upload.read() == b"0123456789"


@pytest.mark.parametrize(
    "body",
    [
        b"", b"--YY\r\n", part("a", b"x"), BODY[:-20], b"--XX\r\n\r\nx\r\n--XX--",
        b"--XX\r\nContent-Disposition: form-data\r\n\r\nx\r\n--XX--",
        b"--XX\r\nno colon\r\n\r\nx\r\n--XX--",
        b"--XX\r\n" + b"A" * 100_000 + b": b\r\n\r\nx\r\n--XX--",
        b"--XX\r\n" + b"A: b\r\n" * 1000 + b"\r\nx\r\n--XX--",
    ],
)  # fmt: skip
def test_a_body_that_is_no_form(spool: IO[bytes], body: bytes) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse(spool, body)
    assert caught.value.error_code == "bad_multipart"


def named(disposition: bytes) -> bytes:
    return b"--XX\r\nContent-Disposition: form-data; name=f; " + disposition + b"\r\n\r\nx\r\n--XX--\r\n"


@pytest.mark.parametrize(
    ("disposition", "filename"),
    [
        (b"filename*=utf-8''%E7%8C%AB.png", "猫.png"),
        (b"filename*=UTF-8'de'%C3%A4%27.png", "ä'.png"),
        (b"FileName* = iso-8859-1''%E4.png", "ä.png"),
        (b"filename*=\"utf-8''a%20b.png\"", "a b.png"),
        (b"filename=plain.png; filename*=utf-8''%E7%8C%AB.png", "plain.png"),
        (b"filename*=utf-8''%E7%8C%AB.png; filename=plain.png", "plain.png"),
        (b"filename*=utf-8''", ""),
    ],
)
def test_a_name_in_the_older_form_is_read(spool: IO[bytes], disposition: bytes, filename: str) -> None:
    assert shown(parse(spool, named(disposition))) == [("f", filename, 1, b"x")]


@pytest.mark.parametrize(
    "value", [b"a.png", b"utf-8'a.png", b"utf-16''a", b"utf-8''%ED%A0%80", b"utf-8''%FF", b"", b"hex''61"]
)
def test_a_name_in_the_older_form_that_is_none_is_refused_with_the_reason(spool: IO[bytes], value: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"filename\*=") as caught:
        parse(spool, named(b"filename*=" + value))
    assert caught.value.error_code == "bad_multipart"


@pytest.mark.parametrize(
    ("content_type", "code"),
    [
        ("", "unsupported_media_type"),
        ("application/json", "unsupported_media_type"),
        ("multipart/mixed; boundary=x", "unsupported_media_type"),
        ("multipart/form-data", "bad_multipart"),
        ("multipart/form-data; boundary=", "bad_multipart"),
        ("multipart/form-data; boundary=" + "x" * 10_000, "bad_multipart"),
    ],
)
def test_a_type_that_is_no_form(spool: IO[bytes], content_type: str, code: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        BodyParser(content_type, spool, 1)
    assert caught.value.error_code == code


def test_too_many_parts_or_too_much_text(spool: IO[bytes]) -> None:
    bodies = {
        "too_many_files": part("f", b"", "a") * 11,
        "too_many_fields": part("f", b"") * (MAX_FIELDS + 1),
        "text_too_long": part("f", b"x" * (MAX_TEXT_BYTES // 2 + 1)) * 2,
    }
    for code, body in bodies.items():
        with pytest.raises(InvalidInput) as caught:
            parse(spool, body + b"--XX--")
        assert caught.value.error_code == code
    assert len(parse(spool, part("f", b"", "a") * 10 + b"--XX--")) == 10


def test_memory_and_descriptors_do_not_grow_with_the_files(spool: IO[bytes]) -> None:
    content = os.urandom(20_000)
    parser = BodyParser(TYPE, spool, 2000)
    before = len(os.listdir("/proc/self/fd"))
    tracemalloc.start()
    for number in range(2000):
        parser.feed(part("files", content, f"cat/{number}.png"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    parser.feed(b"--XX--\r\n")
    parser.finish()
    assert len(os.listdir("/proc/self/fd")) == before
    assert peak < 8_000_000  # of 40 MB
    assert {upload.size for _, upload in parser.items if isinstance(upload, Upload)} == {20_000}
