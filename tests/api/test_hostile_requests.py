"""Requests that no honest client sends: each is answered with problem details, none with a fault of ours."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from PIL import Image

from tests.fixtures.rest import Site, labelled, new_collection, new_dataset, ok, png, problem, stored_files, zipped

JSON = {"Content-Type": "application/json"}


def refused(answer: Any) -> dict[str, Any]:
    """The body of an answer that blames the request, as problem details."""
    assert 400 <= answer.status_code < 500, f"{answer.status_code}: {answer.text[:500]}"
    return problem(answer, answer.status_code, answer.json()["code"])


# --- JSON ------------------------------------------------------------------------------------------------------------

JSON_CALLS = ["/adapters", "/collections", "/classify", "/retrieve", "/v1/embeddings"]


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"null", b"[]", b"1", b'"x"', b"\xff\xfe", b"[" * 100_000, b'{"a":' * 50_000, b"{}", b"NaN",
        b'{"name": "\\ud800"}', b'{"\\ud800": 1}', b'{"adapter": "\\ud800", "images": ["eA=="]}',
        b'{"name": ' + b"9" * 5000 + b"}", b'{"name": null, "dataset_id": null}', b'{"name": {}, "images": {}}',
    ],
)  # fmt: skip
def test_json_that_is_none_or_of_the_wrong_shape(client: TestClient, content: bytes) -> None:
    for path in JSON_CALLS:
        refused(client.post(path, content=content, headers=JSON))


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "x", "multipart/mixed"]
)
def test_a_body_of_another_type(client: TestClient, content_type: str) -> None:
    for path in JSON_CALLS:
        refused(client.post(path, content=b"name=x", headers={"Content-Type": content_type}))


def test_an_unknown_field_is_named(client: TestClient) -> None:
    body = refused(client.post("/collections", json={"name": "x", "colour": "red"}))
    assert "colour" in body["detail"]
    assert body["errors"] == [{"field": "colour", "reason": body["errors"][0]["reason"]}]


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("density", ["0", "-0.1", "1.1", "0.11", "1e-9", "NaN", "Infinity", '"much"', "[]", "{}", "1e400"]),
        ("learning_rate", ["0", "-1", "1.5", "NaN", "-Infinity", '"x"', "[1]"]),
        ("epochs", ["0", "-1", "1001", "1.5", '"x"', "1e300", "9" * 400, "NaN"]),
        ("batch_size", ["0", "1025", "-8", "2.5", "[]"]),
        ("seed", ["-1", "4294967296", "0.5", "null", '"x"']),
        (
            "template",
            [
                '""',
                '"photo"',
                '"{} and {}"',
                '"{0}"',
                "1",
                "[]",
                json.dumps("{}" + "x" * 300),
                r'"\u0000 {}"',
                '[""]',
                '["{}", "photo"]',
                '["{}", null]',
                '[["{}"]]',
                '{"{}": 1}',
                json.dumps(["{}"] * 100_000),
                r'["{}", "\u0000 {}"]',
            ],
        ),
        ("encoders", ['"none"', '""', "1", '["image"]']),
        ("weight_decay", ["-0.1", "1.1", "NaN", '"x"', "[0.1]"]),
        ("shots", ["0", "-1", "1.5", '"x"', "1e300", "2147483648"]),
        ("augment", ['"flip"', '""', "1", '["crop"]']),
        ("evaluate", ['"all"', '""', "1", '["none"]']),
        ("unknown", ["1"]),
    ],
)
def test_each_setting_of_a_training_has_a_range(client: TestClient, field: str, values: list[str]) -> None:
    made = new_dataset(client)["id"]
    for value in values:
        content = f'{{"name": "x", "dataset_id": "{made}", "config": {{"{field}": {value}}}}}'
        answer = client.post("/adapters", content=content, headers=JSON)
        assert answer.status_code == 422, value
        assert field in refused(answer)["detail"], value
    assert ok(client.get("/jobs"))["items"] == []


@pytest.mark.parametrize("config", [r'{"template": "\ud800 {}"}', r'{"\ud800": 1}', r'{"encoders": "\ud800"}'])
def test_half_a_character_in_a_config(client: TestClient, config: str) -> None:
    content = f'{{"name": "x", "dataset_id": "{new_dataset(client)["id"]}", "config": {config}}}'
    refused(client.post("/adapters", content=content, headers=JSON))


@pytest.mark.parametrize("config", [None, [], "x", 1, {"density": {"a": 1}}])
def test_a_config_is_an_object(client: TestClient, config: object) -> None:
    refused(client.post("/adapters", json={"name": "x", "dataset_id": "x", "config": config}))


# --- queries ---------------------------------------------------------------------------------------------------------


LISTS = ["/datasets", "/adapters", "/jobs", "/collections"]


def test_a_page_has_a_size(client: TestClient) -> None:
    for path in LISTS:
        for limit in ("0", "-1", "x", "1.5", "9" * 5000):
            assert "limit" in refused(client.get(path, params={"limit": limit}))["detail"]


def test_a_page_has_no_more_than_its_limit(site: Site) -> None:
    client = site.with_limits(max_page_items=2).new_tenant()
    for name in "abc":
        ok(client.post("/collections", json={"name": name}), 201)
    page = ok(client.get("/collections", params={"limit": 10**18}))
    assert len(page["items"]) == 2
    assert page["next_cursor"]


def test_a_cursor_of_somebodys_own_making(client: TestClient) -> None:
    inner = [f"/datasets/{new_dataset(client)['id']}/images", f"/collections/{new_collection(client, {})[0]}/images"]
    for path in [*LISTS, *inner]:
        for cursor in ("", "x", "%00", "%ff", "-1", "9" * 30, "AAAA", "%F0%9F%A6%89", "bm93IHg", "1_0", "٣"):
            problem(client.get(f"{path}?cursor={cursor}"), 422, "invalid_cursor")


def test_a_cursor_that_was_changed(client: TestClient) -> None:
    for name in ("a", "b"):
        ok(client.post("/collections", json={"name": name}), 201)
    cursor = ok(client.get("/collections?limit=1"))["next_cursor"]
    for changed in (cursor[1:], cursor[:8], cursor + "!", "!" + cursor, cursor.swapcase()):
        problem(client.get("/collections", params={"cursor": changed}), 422, "invalid_cursor")


def test_a_path_that_leads_nowhere(client: TestClient) -> None:
    for path in ("/nothing", "/datasets/x/y/z", "//", "/%00", "/openapi.json/x"):
        problem(client.get(path), 404, "not_found")
    for method in ("PUT", "PATCH", "BREW"):
        problem(client.request(method, "/datasets"), 405, "method_not_allowed")


# --- classify and retrieve -------------------------------------------------------------------------------------------


def picture() -> str:
    return base64.b64encode(png()).decode()


QUESTIONS: list[tuple[Any, str]] = [
        ({"images": []}, "invalid_request"),
        ({"images": [""]}, "empty_file"),
        ({"images": ["!"]}, "not_base64"),
        ({"images": ["ü"]}, "not_base64"),
        ({"images": ["eA"]}, "not_base64"),
        ({"images": ["data:image/png;base64,!"]}, "not_base64"),
        ({"images": ["eA=="]}, "not_an_image"),
        ({"images": [1]}, "invalid_request"),
        ({"images": None}, "invalid_request"),
        ({"images": ["eA=="] * 257}, "invalid_input"),
        ({"labels": []}, "invalid_input"),
        ({"labels": ["a", ""]}, "invalid_input"),
        ({"labels": ["a", " "]}, "invalid_input"),
        ({"labels": ["a", "a"]}, "invalid_input"),
        ({"labels": ["a", " a "]}, "invalid_input"),
        ({"labels": ["a", "x" * 101]}, "invalid_input"),
        ({"labels": [f"{n}" for n in range(1001)]}, "invalid_input"),
        ({"labels": None}, "invalid_input"),
        ({"labels": "cat"}, "invalid_request"),
        ({"template": "photo"}, "invalid_config"),
        ({"template": ""}, "invalid_config"),
        ({"template": "{} {}"}, "invalid_config"),
        ({"template": "{}" + "x" * 300}, "invalid_config"),
        ({"template": []}, "invalid_config"),
        ({"template": [""]}, "invalid_config"),
        ({"template": ["{}", "\0{}"]}, "invalid_config"),
        ({"template": ["{}", "{}"]}, "invalid_config"),
        ({"template": ["{}"] * 100_000}, "invalid_config"),
        ({"template": ["{}", None]}, "invalid_request"),
        ({"template": [["{}"]]}, "invalid_request"),
        ({"top_k": 0}, "invalid_request"),
        ({"top_k": -1}, "invalid_request"),
        ({"top_k": 1001}, "invalid_input"),
        ({"top_k": 10**30}, "invalid_input"),
        ({"top_k": "x"}, "invalid_request"),
        ({"adapter": "nobody"}, "not_found"),
        ({"adapter": ""}, "not_found"),
        ({"adapter": "a\0b"}, "invalid_request"),
        ({"adapter": None}, "invalid_request"),
        ({"unknown": 1}, "invalid_request"),
    ]  # fmt: skip


def test_a_question_that_cannot_be_answered(client: TestClient) -> None:
    for change, code in QUESTIONS:
        body = {"adapter": "base", "images": [picture()], "labels": ["cat", "dog"]} | change
        assert refused(client.post("/classify", json=body))["code"] == code, change


FORMS: list[tuple[Any, str]] = [
        ([("labels", '["a", "a"]')], "invalid_input"),
        ([("labels", "[")], "invalid_input"),
        ([("labels", "[]")], "invalid_input"),
        ([("labels", "[1]")], "invalid_input"),
        ([("labels", "[" * 100_000)], "invalid_input"),
        ([("labels", r'["\ud800", "a"]')], "invalid_input"),
        ([("labels", r'["\ud800", "\ud800"]')], "invalid_input"),
        ([("labels", "a"), ("labels", "a")], "invalid_input"),
        ([("labels", "")], "invalid_input"),
        ([("labels", "a"), ("top_k", "0")], "invalid_input"),
        ([("labels", "a"), ("top_k", "x")], "invalid_input"),
        ([("labels", "a"), ("top_k", "")], "invalid_input"),
        ([("labels", "a"), ("top_k", "1" * 50)], "invalid_input"),
        ([("labels", "a"), ("template", "x")], "invalid_config"),
        ([("labels", "a"), ("template", "")], "invalid_config"),
        ([("labels", "a"), ("template", '["' * 100_000)], "invalid_input"),
        ([("labels", "a"), ("template", r'["\ud800 {}", "{}"]')], "invalid_config"),
        ([("labels", "a"), ("template", "{}"), ("template", "x")], "invalid_config"),
        ([("labels", "a"), ("adapter", "nobody")], "not_found"),
        ([("labels", "a"), ("adapter", "\0")], "invalid_request"),
        ([], "invalid_input"),
    ]  # fmt: skip


def test_a_question_by_form_that_cannot_be_answered(client: TestClient) -> None:
    for fields, code in FORMS:
        parts: list[Any] = [("files", ("a.png", png()))] + [(name, (None, value)) for name, value in fields]
        assert refused(client.post("/classify", files=parts))["code"] == code, fields


def test_a_form_cannot_choose_how_it_is_read(client: TestClient) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="name"\r\n\r\n\\ud800\xff\r\n--x--\r\n'
    for charset in ("utf-16", "unicode_escape", "idna", "punycode", "hex", "rot13", "nonsense"):
        headers = {"Content-Type": f"multipart/form-data; charset={charset}; boundary=x"}
        for path in ("/datasets", "/adapters/import", "/classify"):
            refused(client.post(path, content=body, headers=headers))


SEARCHES: list[tuple[Any, str]] = [
        ({"text": None}, "invalid_input"),
        ({"image": "eA==", "image_id": "x"}, "invalid_input"),
        ({"text": ""}, "invalid_request"),
        ({"text": " "}, "invalid_request"),
        ({"text": "x" * 301}, "invalid_request"),
        ({"text": None, "image": "!"}, "not_base64"),
        ({"text": None, "image": "eA=="}, "not_an_image"),
        ({"text": None, "image": ""}, "empty_file"),
        ({"top_k": 0}, "invalid_request"),
        ({"top_k": 1001}, "invalid_input"),
        ({"adapter": "nobody"}, "not_found"),
        ({"collection_id": "nothing"}, "not_found"),
        ({"collection_id": "\0"}, "invalid_request"),
        ({"collection_id": None}, "invalid_input"),
        ({"dataset_id": "ds_x"}, "invalid_input"),
        ({"collection_id": None, "dataset_id": "nothing"}, "not_found"),
        ({"unknown": 1}, "invalid_request"),
    ]  # fmt: skip


def test_a_search_that_cannot_be_made(client: TestClient) -> None:
    collection, _ = new_collection(client, {})
    for change, code in SEARCHES:
        body = {"adapter": "base", "collection_id": collection, "text": "cat"} | change
        assert refused(client.post("/retrieve", json=body))["code"] == code, change


# --- bodies above the limit ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("announced", [True, False])
def test_a_body_above_the_limit(site: Site, announced: bool) -> None:
    client = site.with_limits(max_upload_bytes=20_000).new_tenant()
    start = b'--x\r\nContent-Disposition: form-data; name="archive"; filename="a"\r\n\r\n'
    for path in ("/datasets", "/adapters/import", *JSON_CALLS):
        is_form = path not in JSON_CALLS
        content = (start if is_form else b'{"name": "') + b"x" * 30_000
        headers = {"Content-Type": "multipart/form-data; boundary=x" if is_form else "application/json"}
        chunks = iter([content[:10_000], content[10_000:15_000], content[15_000:]])
        body = problem(client.post(path, content=content if announced else chunks, headers=headers), 413, "too_large")
        assert "20,000" in body["detail"]
        assert "max_upload_bytes" in body["detail"]


# --- pictures --------------------------------------------------------------------------------------------------------


def encoded(image: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def unusual_pictures() -> Mapping[str, bytes]:
    """Pictures as cameras, scanners and designers make them."""
    rgb = Image.effect_noise((30, 20), 80).convert("RGB")
    exif = Image.Exif()
    exif[0x0112] = 6  # lay on its side
    frames = [rgb.rotate(90 * turn) for turn in range(3)]
    return {
        "cmyk.jpg": encoded(rgb.convert("CMYK"), "JPEG"),
        "grey16.png": encoded(Image.new("I;16", (30, 20), 40_000), "PNG"),
        "palette.png": encoded(rgb.convert("P"), "PNG"),
        "palette.gif": encoded(rgb.convert("P"), "GIF"),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "turned.jpg": encoded(rgb, "JPEG", exif=exif),
        "see-through.png": encoded(rgb.convert("RGBA"), "PNG"),
        "grey.png": encoded(rgb.convert("L"), "PNG"),
        "black-and-white.tif": encoded(rgb.convert("1"), "TIFF"),
        "windows.bmp": encoded(rgb, "BMP"),
        "named.txt": encoded(rgb, "WEBP"),
    }


def test_pictures_of_every_kind_are_taken_everywhere(client: TestClient) -> None:
    pictures = unusual_pictures()
    made = new_dataset(client, {f"odd/{name}": data for name, data in pictures.items()} | labelled({"plain": 2}))
    assert made["rejected"] == []
    assert made["classes"][0] == {"name": "odd", "count": len(pictures)}
    collection, images = new_collection(client, pictures)
    assert set(images) == set(pictures)
    parts: list[Any] = [("files", item) for item in pictures.items()] + [("labels", (None, '["a", "b"]'))]
    assert len(ok(client.post("/classify", files=parts))["results"]) == len(pictures)
    query = {"collection_id": collection, "text": "x", "top_k": 100}
    assert len(ok(client.post("/retrieve", json=query))["results"]) == len(pictures)


def bomb() -> bytes:
    """A PNG of a few kilobytes that claims ten billion pixels."""
    data = bytearray(png())
    data[16:24] = (100_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (bomb(), "too_many_pixels"),
        (b"GIF89a", "damaged_image"),
        (png()[:-30], "damaged_image"),
        (b"", "empty_file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "unsupported_format"),
        (b"MZ\x90", "not_an_image"),
    ],
)
def test_a_file_that_is_no_picture_is_refused_everywhere_and_leaves_nothing(
    site: Site, client: TestClient, data: bytes, code: str
) -> None:
    made = new_dataset(client, labelled() | {"cat/evil.png": data})
    assert [(r["path"], r["code"]) for r in made["rejected"]] == [("cat/evil.png", code)]
    collection, _ = new_collection(client, {})
    body = problem(
        client.post(f"/collections/{collection}/images", files={"files": ("evil.png", data)}), 422, "no_images"
    )
    assert [(r["path"], r["code"]) for r in body["rejected"]] == [("evil.png", code)]
    assert stored_files(site) == {hashlib.sha256(good).hexdigest() for good in labelled().values()}
    question = {"images": [base64.b64encode(data).decode()], "labels": ["a"]}
    assert refused(client.post("/classify", json=question))["code"] == code


# --- archives and names ----------------------------------------------------------------------------------------------


def test_paths_that_lead_out_are_turned_away(site: Site, client: TestClient, tmp_path: Path) -> None:
    tricks = ["../../evil.png", "/etc/cat/evil.png", "cat/../../evil.png", "C:/cat/evil.png", "cat\\..\\evil.png"]
    answers = [new_dataset(client, labelled() | {trick: png(50 + n) for n, trick in enumerate(tricks)})]
    parts = [("files", item) for item in (labelled() | {trick: png(50) for trick in tricks}).items()]
    answers.append(ok(client.post("/datasets", data={"name": "x"}, files=parts), 201))
    for made in answers:
        assert made["image_count"] == 4
        assert {r["code"] for r in made["rejected"]} == {"unsafe_path"}
        assert len(made["rejected"]) == len(tricks)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {hashlib.sha256(data).hexdigest() for data in labelled().values()}
    assert {path.parent for path in files} == {tmp_path / "blobs" / "images" / site.tenant_id(client)}


def test_duplicates_are_counted_once(client: TestClient) -> None:
    files = labelled()
    twin, foreign = files["cat/0.png"], files["dog/0.png"]
    made = new_dataset(client, files | {"cat/twin.png": twin, "cat/wrong.png": foreign})
    assert made["image_count"] == 4
    assert sorted(r["code"] for r in made["rejected"]) == ["duplicate", "duplicate_other_class"]


@pytest.mark.parametrize(
    "label", ["猫", "кошка", "قطة", "ネコ", "गाय", "🦊", "👩‍🔬", "Ätna", "a b", "'; DROP--", "%s", "{}"]
)
def test_names_in_any_script_survive_the_way_there_and_back(site: Site, client: TestClient, label: str) -> None:
    files = {f"{label}/{label} {n}.png": png(n) for n in range(2)} | labelled({"zzz": 2}, seed=10)
    archived = new_dataset(client, files, name=label)
    parts = [("files", item) for item in files.items()]
    loose = ok(client.post("/datasets", data={"name": label}, files=parts), 201)
    for made in (archived, loose):
        assert made["name"] == label
        assert label in {entry["name"] for entry in made["classes"]}
        paths = {image["path"] for image in ok(client.get(f"/datasets/{made['id']}/images"))["items"]}
        assert paths == set(files)
    order = {"name": label, "dataset_id": archived["id"], "config": {"template": "{}"}}
    job = ok(client.post("/adapters", json=order), 202)
    assert job["name"] == label
    _, images = new_collection(client, {f"{label}.png": png()})
    assert list(images) == [f"{label}.png"]
    body = {"images": [picture()], "labels": [label, "other"], "template": "{}"}
    predictions = ok(client.post("/classify", json=body))["results"][0]["predictions"]
    assert {prediction["label"] for prediction in predictions} == {label, "other"}


@pytest.mark.parametrize("name", ["a\0b.png", "a\nb.png", "x" * 300 + ".png", "\u202egnp.exe", ""])
def test_a_file_name_that_cannot_be_kept(client: TestClient, name: str) -> None:
    """It turns that one file away, or nothing, but never the whole upload."""
    collection, _ = new_collection(client, {})
    boundary = (
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="%s"\r\n\r\n%s\r\n'
        b'--x\r\nContent-Disposition: form-data; name="files"; filename="good.png"\r\n\r\n%s\r\n--x--\r\n'
    )
    body = boundary % (name.encode().replace(b"\n", b"%0A"), png(1), png(2))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = client.post(f"/collections/{collection}/images", content=body, headers=headers)
    if answer.status_code != 201:  # the header itself is no header any more
        assert "\0" in name
        problem(answer, 422, "bad_multipart")
        return
    added = ok(answer, 201)
    assert "good.png" in [image["filename"] for image in added["images"]]
    assert len(added["images"]) + len(added["rejected"]) == 2


def test_a_zip_in_an_unusual_shape_is_still_one(client: TestClient) -> None:
    """Folders within a folder, clutter of operating systems, and a comment."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.comment = b"hello"
        for path, data in labelled().items():
            archive.writestr(f"my pictures/train/{path}", data)
        archive.writestr("__MACOSX/my pictures/._x", b"junk")
        archive.writestr("my pictures/.DS_Store", b"junk")
    made = ok(client.post("/datasets", data={"name": "x"}, files={"archive": file.getvalue()}), 201)
    assert [entry["name"] for entry in made["classes"]] == ["cat", "dog"]
    assert made["rejected"] == []


def test_a_label_above_the_limit_is_turned_away(client: TestClient) -> None:
    made = new_dataset(client, labelled() | {f"{'x' * 101}/1.png": png(77)})
    assert [r["code"] for r in made["rejected"]] == ["label_too_long"]


MANY = 10_000


def test_ten_thousand_small_files_in_one_form(site: Site) -> None:
    """Some of them the same picture: what is measured is the form, and not the disk."""
    client = site.with_limits(max_dataset_images=MANY).new_tenant()
    pictures = [png(n, size=4) for n in range(4)]
    parts = [("files", (f"{'cat' if n % 2 else 'dog'}/{n}.png", pictures[n % 4])) for n in range(MANY)]
    made = ok(client.post("/datasets", data={"name": "x"}, files=parts), 201)
    assert made["image_count"] == 4
    assert len(made["rejected"]) == MANY - 4
    parts.append(("files", ("cat/one-too-many.png", pictures[0])))
    refused(client.post("/datasets", data={"name": "x"}, files=parts))


def test_an_archive_given_twice(client: TestClient) -> None:
    parts = [("archive", ("a.zip", zipped(labelled())))] * 2
    refused(client.post("/datasets", data={"name": "x"}, files=parts))


def test_invented_methods_do_not_fill_the_metrics(client: TestClient) -> None:
    for number in range(3):
        client.request(f"BREW{number}", "/datasets")
    told = client.get("/metrics").text
    assert "BREW" not in told
    assert 'saft_http_requests_total{method="other"' in told
