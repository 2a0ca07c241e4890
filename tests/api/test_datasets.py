from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.fixtures.rest import Site, labelled, new_collection, new_dataset, ok, png, problem, stored_files, zipped


def test_a_zip_becomes_a_dataset(client: TestClient) -> None:
    files = labelled({"dog": 3, "cat": 2}) | {"cat/notes.txt": b"no picture"}
    answer = client.post("/datasets", data={"name": " pets "}, files={"archive": ("a.zip", zipped(files))})
    made = ok(answer, 201)
    assert answer.headers["location"] == f"/datasets/{made['id']}"
    assert made["name"] == "pets"
    assert made["classes"] == [{"name": "cat", "count": 2}, {"name": "dog", "count": 3}]
    assert made["image_count"] == 5
    assert [(r["path"], r["code"]) for r in made["rejected"]] == [("cat/notes.txt", "not_an_image")]
    assert ok(client.get(f"/datasets/{made['id']}")) | {"test_dataset_id": None} == made


def test_files_named_class_and_file_become_the_same_dataset(client: TestClient) -> None:
    files = labelled({"dog": 3, "cat": 2})
    parts = [("files", (path, data)) for path, data in files.items()]
    made = ok(client.post("/datasets", data={"name": "pets"}, files=parts), 201)
    zipped_one = new_dataset(client, files, "pets")
    for field in ("name", "classes", "image_count", "rejected"):
        assert made[field] == zipped_one[field]


def test_the_images_are_listed_and_come_back_as_uploaded(client: TestClient) -> None:
    files = labelled({"dog": 3, "cat": 2}) | {"dog/x.jpg": png(99, form="JPEG")}
    made = new_dataset(client, files)
    url, seen, cursor = f"/datasets/{made['id']}/images", [], None
    while True:
        page = ok(client.get(url, params={"limit": 4} | ({"cursor": cursor} if cursor else {})))
        seen += page["items"]
        if (cursor := page["next_cursor"]) is None:
            break
    assert [(item["position"], item["label"], item["path"]) for item in seen] == [
        (n, path.split("/")[0], path) for n, path in enumerate(sorted(files))
    ]
    for item in seen:
        answer = client.get(f"{url}/{item['position']}")
        assert answer.content == files[item["path"]]
        assert answer.headers["content-type"] == ("image/jpeg" if item["path"] == "dog/x.jpg" else "image/png")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("position", ["6", "-1", "2147483648", "x", "1e3"])
def test_a_position_without_an_image(client: TestClient, position: str) -> None:
    made = new_dataset(client)
    answer = client.get(f"/datasets/{made['id']}/images/{position}")
    problem(answer, *((404, "not_found") if position == "6" else (422, "invalid_request")))


def test_datasets_are_listed_in_pages_newest_first(client: TestClient) -> None:
    made = [new_dataset(client, labelled(seed=10 * n), f"set {n}")["id"] for n in range(3)]
    first = ok(client.get("/datasets", params={"limit": 2}))
    second = ok(client.get("/datasets", params={"limit": 2, "cursor": first["next_cursor"]}))
    assert [item["id"] for item in first["items"] + second["items"]] == made[::-1]
    assert second["next_cursor"] is None


def test_a_deleted_dataset_is_gone_with_its_files(site: Site, client: TestClient) -> None:
    made = new_dataset(client)
    assert len(stored_files(site)) == 4
    assert client.delete(f"/datasets/{made['id']}").status_code == 204
    problem(client.get(f"/datasets/{made['id']}"), 404, "not_found")
    problem(client.delete(f"/datasets/{made['id']}"), 404, "not_found")
    assert stored_files(site) == set()


def test_an_image_is_stored_once_and_stays_as_long_as_anything_has_it(site: Site, client: TestClient) -> None:
    files = labelled()
    first, second = (new_dataset(client, files)["id"] for _ in range(2))
    collection, _ = new_collection(client, files)
    other = site.new_tenant("other")
    foreign = new_dataset(other, files)["id"]
    assert images_stored(client) == images_stored(other) == 4
    for path in (f"/datasets/{first}", f"/collections/{collection}"):
        assert client.delete(path).status_code == 204
        assert client.get(f"/datasets/{second}/images/0").content == files["cat/0.png"]
    assert client.delete(f"/datasets/{second}").status_code == 204
    assert (images_stored(client), images_stored(other)) == (0, 4)
    assert other.get(f"/datasets/{foreign}/images/0").content == files["cat/0.png"]


def images_stored(client: TestClient) -> int:
    return int(ok(client.get("/usage"))["usage"]["images"])


def test_a_dataset_in_use_cannot_be_deleted(client: TestClient) -> None:
    made = new_dataset(client)
    job = ok(client.post("/adapters", json={"name": "icons", "dataset_id": made["id"]}), 202)
    assert job["id"] in problem(client.delete(f"/datasets/{made['id']}"), 409, "conflict")["detail"]
    ok(client.post(f"/jobs/{job['id']}/cancel"), 202)
    assert client.delete(f"/datasets/{made['id']}").status_code == 204


@pytest.mark.parametrize(
    ("data", "files", "code"),
    [
        ({"name": "x"}, {"archive": ("a.zip", b"no zip")}, "not_a_zip"),
        ({"name": "x"}, {"archive": ("a.zip", b"")}, "empty_file"),
        ({"name": "x"}, {"archive": ("a.zip", zipped(labelled({"cat": 4})))}, "too_few_classes"),
        ({"name": "x"}, {"archive": ("a.zip", zipped(labelled({"cat": 4, "dog": 1})))}, "too_few_images"),
        ({"name": "x"}, {"archive": ("a.zip", zipped({}))}, "no_images"),
        ({"name": "x"}, {"files": ("cat.png", png())}, "no_images"),
        ({"name": "x"}, {"other": ("a.zip", b"")}, "invalid_input"),
        ({"name": "x"}, {"archive": ("a.zip", b""), "files": ("cat/1.png", png())}, "invalid_input"),
        ({"name": ""}, {"archive": ("a.zip", zipped(labelled()))}, "invalid_input"),
        ({"name": "\0"}, {"archive": ("a.zip", zipped(labelled()))}, "invalid_input"),
        ({"name": "x" * 201}, {"archive": ("a.zip", zipped(labelled()))}, "invalid_input"),
        ({}, {"archive": ("a.zip", zipped(labelled()))}, "invalid_input"),
    ],
)  # fmt: skip
def test_what_makes_no_dataset_is_an_error_that_leaves_nothing(
    client: TestClient, tmp_path: Path, data: dict[str, str], files: dict[str, tuple[str, bytes]], code: str
) -> None:
    problem(client.post("/datasets", data=data, files=files), 422, code)
    assert ok(client.get("/datasets"))["items"] == []
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_the_rejected_files_are_listed_when_nothing_is_left(client: TestClient) -> None:
    files = {"cat/1.png": b"no picture", "dog/1.png": png()[:60]}
    answer = client.post("/datasets", data={"name": "x"}, files={"archive": ("a.zip", zipped(files))})
    body = problem(answer, 422, "no_images")
    assert {r["path"]: r["code"] for r in body["rejected"]} == {
        "cat/1.png": "not_an_image",
        "dog/1.png": "damaged_image",
    }


def test_one_picture_above_the_limit_is_rejected_and_the_others_are_taken(site: Site) -> None:
    small = site.with_limits(max_image_bytes=len(png()) + 100)
    client = small.new_tenant()
    files = labelled({"cat": 2, "dog": 2}) | {"cat/large.png": png(7, size=80)}
    parts = [("files", (path, data)) for path, data in files.items()]
    for made in (
        ok(client.post("/datasets", data={"name": "x"}, files=parts), 201),
        new_dataset(client, files),
    ):
        assert made["image_count"] == 4
        assert [(r["path"], r["code"]) for r in made["rejected"]] == [("cat/large.png", "image_too_large")]


# --- layouts, names and labels ---------------------------------------------------------------------------------------


def by_files(client: TestClient, files: dict[str, bytes]) -> Any:
    return client.post("/datasets", data={"name": "x"}, files=[("files", item) for item in files.items()])


def by_zip(client: TestClient, files: dict[str, bytes]) -> Any:
    return client.post("/datasets", data={"name": "x"}, files={"archive": ("a.zip", zipped(files))})


@pytest.mark.parametrize("send", [by_files, by_zip])
def test_parts_of_a_competition_do_not_become_classes(client: TestClient, send: Callable[..., Any]) -> None:
    body = problem(
        send(client, labelled({"train": 2, "test": 2}) | {"train.csv": b"id,label"}), 422, "unsupported_layout"
    )
    assert (body["layout"], body["evidence"]) == ("table", ["train.csv"])
    assert "train.csv" in body["detail"]
    assert ok(client.get("/datasets"))["items"] == []
    vehicles = ok(send(client, labelled({"bus": 2, "car": 2, "train": 2})), 201)
    assert [entry["name"] for entry in vehicles["classes"]] == ["bus", "car", "train"]


@pytest.mark.parametrize("send", [by_files, by_zip])
@pytest.mark.parametrize(
    ("one", "other"), [("hot_dog", "hot dog"), ("R&D", "R&amp;D"), ("cat", "ｃａｔ"), ("cat", "Cat"), ("c  at", "c at")]
)
def test_classes_that_are_read_alike_make_no_dataset(
    client: TestClient, tmp_path: Path, send: Callable[..., Any], one: str, other: str
) -> None:
    body = problem(send(client, labelled({one: 2, other: 2, "dog": 2})), 422, "labels_alike")
    assert sorted(body["labels"]) == sorted([one, other])
    assert one in body["detail"]
    assert other in body["detail"]
    assert ok(client.get("/datasets"))["items"] == []
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("send", [by_files, by_zip])
def test_a_class_name_that_would_be_cut_is_refused_with_its_number_of_tokens(
    client: TestClient, send: Callable[..., Any]
) -> None:
    name = "one two three four five six seven eight nine ten eleven"
    body = problem(send(client, labelled({name: 2, "dog": 2})), 422, "text_too_long")
    assert (body["text"], body["tokens"], body["max_tokens"]) == (name, 13, 12)


@pytest.mark.parametrize("send", [by_files, by_zip])
def test_forms_of_a_name_that_look_the_same_are_one_class(client: TestClient, send: Callable[..., Any]) -> None:
    files = {"été/1.png": png(1), "e\u0301te\u0301/2.png": png(2), "\u200bété\u200e /3.png": png(3)}
    made = ok(send(client, files | labelled({"dog": 2}, seed=9)), 201)
    assert made["classes"] == [{"name": "dog", "count": 2}, {"name": "été", "count": 3}]


@pytest.mark.parametrize("send", [by_files, by_zip])
def test_backslashes_are_separators(client: TestClient, send: Callable[..., Any]) -> None:
    made = ok(send(client, {path.replace("/", "\\"): data for path, data in labelled().items()}), 201)
    assert (made["classes"], made["rejected"]) == ([{"name": "cat", "count": 2}, {"name": "dog", "count": 2}], [])


@pytest.mark.parametrize(("name", "codec"), [("狗", "gbk"), ("ネコ", "shift-jis"), ("été", "cp1252"), ("été", "cp850")])
def test_names_in_another_code_page_make_no_other_names(client: TestClient, name: str, codec: str) -> None:
    raw = name.encode(codec)
    files = labelled({"x" * len(raw): 2, "dog": 2})
    archive = zipped(files).replace(b"x" * len(raw) + b"/", raw + b"/")
    body = problem(
        client.post("/datasets", data={"name": "x"}, files={"archive": ("a.zip", archive)}), 422, "name_encoding"
    )
    assert f"'{name}/0.png'" in body["detail"]
    head = b'--B\r\nContent-Disposition: form-data; name="files"; filename="' + raw + b'/0.png"\r\n\r\n'
    headers = {"content-type": "multipart/form-data; boundary=B"}
    problem(client.post("/datasets", content=head + b"x\r\n--B--\r\n", headers=headers), 422, "name_encoding")


def test_a_body_that_is_no_form_is_an_error(client: TestClient) -> None:
    problem(client.post("/datasets", json={"name": "x"}), 415, "unsupported_media_type")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    problem(client.post("/datasets", content=b"--y\r\n\r\n", headers=headers), 422, "bad_multipart")
    headers = {"content-type": "multipart/form-data"}
    problem(client.post("/datasets", content=b"", headers=headers), 422, "bad_multipart")


# --- splits and labels files -----------------------------------------------------------------------------------------


def in_splits(wrapper: str = "") -> dict[str, bytes]:
    """Two classes with three pictures to train on, one to validate and two to test on."""
    sizes = {"train": 3, "valid": 1, "test": 2}
    return {
        f"{wrapper}{part}/{path}": data
        for number, (part, size) in enumerate(sizes.items())
        for path, data in labelled({"cat": size, "dog": size}, seed=100 * number).items()
    }


@pytest.mark.parametrize("send", [by_files, by_zip])
@pytest.mark.parametrize("wrapper", ["", "export/"])
def test_splits_become_a_dataset_and_a_test_dataset(client: TestClient, send: Callable[..., Any], wrapper: str) -> None:
    files = in_splits(wrapper)
    made = ok(send(client, files), 201)
    assert made["classes"] == [{"name": "cat", "count": 4}, {"name": "dog", "count": 4}]
    test = ok(client.get(f"/datasets/{made['test_dataset_id']}"))
    assert (test["name"], test["image_count"], test["rejected"]) == ("x (test)", 4, [])
    assert [entry["name"] for entry in test["classes"]] == ["cat", "dog"]
    assert [item["id"] for item in ok(client.get("/datasets"))["items"]] == [made["id"], test["id"]]
    for owner, part in ((made, ("train", "valid")), (test, ("test",))):
        for item in ok(client.get(f"/datasets/{owner['id']}/images"))["items"]:
            assert item["path"].removeprefix(wrapper).split("/")[0] in part
            answer = client.get(f"/datasets/{owner['id']}/images/{item['position']}")
            assert answer.content == files[item["path"]]
    body = {"name": "pets", "dataset_id": made["id"], "test_dataset_id": test["id"]}
    assert ok(client.post("/adapters", json=body), 202)["test_dataset_id"] == test["id"]


def test_without_a_test_set_there_is_no_test_dataset(client: TestClient) -> None:
    made = ok(by_zip(client, labelled()), 201)
    assert made["test_dataset_id"] is None
    assert "test_dataset_id" not in ok(client.get(f"/datasets/{made['id']}"))


def test_splits_sent_twice_with_a_key_make_two_datasets_and_not_four(site: Site, client: TestClient) -> None:
    files, headers = {"archive": ("a.zip", zipped(in_splits()))}, {"Idempotency-Key": "k"}
    sent = (client.post("/datasets", headers=headers, data={"name": "x" * 200}, files=files) for _ in range(2))
    first, second = (ok(answer, 201) for answer in sent)
    assert first == second
    assert len(ok(client.get("/datasets"))["items"]) == 2
    assert len(stored_files(site)) == len(in_splits())
    assert len(ok(client.get(f"/datasets/{first['test_dataset_id']}"))["name"]) == 200


def test_splits_that_make_no_dataset_leave_no_test_dataset(client: TestClient, tmp_path: Path) -> None:
    files = {path: data for path, data in in_splits().items() if "dog" not in path or path.startswith("test")}
    problem(by_zip(client, files), 422, "too_few_classes")
    assert ok(client.get("/datasets"))["items"] == []
    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


def test_the_test_dataset_is_its_tenants_alone(site: Site, client: TestClient) -> None:
    made = ok(by_zip(client, in_splits()), 201)
    other = site.new_tenant("other")
    problem(other.get(f"/datasets/{made['test_dataset_id']}"), 404, "not_found")
    body = {"name": "x", "dataset_id": new_dataset(other)["id"], "test_dataset_id": made["test_dataset_id"]}
    problem(other.post("/adapters", json=body), 404, "not_found")


def test_a_class_that_is_too_small_is_left_out_and_so_are_its_files(site: Site, client: TestClient) -> None:
    files = labelled({"cat": 2, "dog": 2, "yak": 1})
    made = ok(by_zip(client, files), 201)
    assert [entry["name"] for entry in made["classes"]] == ["cat", "dog"]
    assert [(r["path"], r["code"]) for r in made["rejected"]] == [("yak", "class_too_small")]
    assert len(stored_files(site)) == 4


CLASSES = ("cat", "dog")
FLAT = {f"{n}.png": png(n) for n in range(1, 5)}
COCO = {
    "images": [{"id": n, "file_name": f"{n}.png"} for n in range(1, 5)],
    "annotations": [{"image_id": n, "category_id": n % 2} for n in range(1, 5)],
    "categories": [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}],
}
VISION = [{"id": str(n), "tags": [{"tagName": CLASSES[n % 2]}]} for n in range(1, 5)]


@pytest.mark.parametrize("send", [by_files, by_zip])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "file,label\n1.png,dog\n2.png,cat\n3.png,dog\n4.png,cat\n"),
        ("_classes.csv", "filename, cat, dog\n1.png, 0, 1\n2.png, 1, 0\n3.png, 0, 1\n4.png, 1, 0\n"),
        ("metadata.csv", "file_name,text\n1.png,dog\n2.png,cat\n3.png,dog\n4.png,cat\n"),
        (
            "metadata.jsonl",
            "\n".join(json.dumps({"file_name": f"{n}.png", "label": CLASSES[n % 2]}) for n in range(1, 5)),
        ),
        ("annotations.json", json.dumps(COCO)),
        ("tagged.json", json.dumps(VISION)),
    ],
)
def test_every_format_of_labels_files(client: TestClient, send: Callable[..., Any], name: str, content: str) -> None:
    made = ok(send(client, FLAT | {name: content.encode()}), 201)
    assert made["rejected"] == []
    images = ok(client.get(f"/datasets/{made['id']}/images"))["items"]
    assert {item["path"]: item["label"] for item in images} == {
        "1.png": "dog", "2.png": "cat", "3.png": "dog", "4.png": "cat",
    }  # fmt: skip


@pytest.mark.parametrize("send", [by_files, by_zip])
def test_a_labels_file_that_cannot_be_read_is_named(site: Site, client: TestClient, send: Callable[..., Any]) -> None:
    body = problem(send(client, FLAT | {"annotations.json": b"[" * 100_000}), 422, "invalid_labels_file")
    assert body["file"] == "annotations.json"
    small = site.with_limits(max_labels_bytes=100).new_tenant()
    body = problem(send(small, FLAT | {"labels.csv": b"1.png,cat\n" * 11}), 422, "labels_file_too_large")
    assert body["file"] == "labels.csv"
    assert "max_labels_bytes" in body["detail"]
    assert ok(client.get("/datasets"))["items"] == []


def test_a_table_of_zeros_packs_as_strongly_as_a_bomb_and_is_read(client: TestClient) -> None:
    file = io.BytesIO()
    rows = "filename," + ",".join(f"c{n}" for n in range(600)) + "\n"
    rows += "".join(
        f"{n}.png," + ",".join("1" if k == n % 2 else "0" for k in range(600)) + "\n" for n in range(1, 1000)
    )
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        for path, data in (FLAT | {"_classes.csv": rows.encode()}).items():
            packed.writestr(path, data)
    made = ok(client.post("/datasets", data={"name": "x"}, files={"archive": ("a.zip", file.getvalue())}), 201)
    assert made["classes"] == [{"name": "c0", "count": 2}, {"name": "c1", "count": 2}]
    assert {r["code"] for r in made["rejected"]} == {"missing_file"}


def test_uploads_of_one_tenant_leave_a_thread_to_another(site: Site) -> None:
    small = site.with_settings(upload_threads=2)
    quiet, turns = small.new_tenant(), small.services.upload_turns
    dataset = new_dataset(quiet, labelled({"cat": 3, "dog": 2}))
    flood = [turns.enqueue("noisy") for _ in range(3)]
    assert [wait.turn.done() for wait in flood] == [True, False, False]
    ok(quiet.post(f"/datasets/{dataset['id']}/revisions", json={"relabel": [{"position": 0, "label": "dog"}]}), 201)
    new_dataset(quiet, labelled(seed=50))
    assert [wait.turn.done() for wait in flood] == [True, False, False]
    turns.leave(flood[0])
    assert flood[1].turn.done()
