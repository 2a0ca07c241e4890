from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from fastapi.testclient import TestClient

from saft_core.quota import Quota
from saft_core.store import tenants
from tests.fixtures.rest import Site, labelled, new_dataset, ok, png, problem, stored_files, zipped

FILES = labelled({"cat": 4, "dog": 3})
"""At the positions 0 to 3 and 4 to 6."""


def revise(client: TestClient, dataset: str, **changes: Any) -> Any:
    return client.post(f"/datasets/{dataset}/revisions", json=changes)


def revise_with(
    client: TestClient, dataset: str, files: Mapping[str, bytes], changes: Any = None, **options: Any
) -> Any:
    parts: list[Any] = [("files", item) for item in files.items()]
    if changes is not None:
        parts.append(("changes", (None, json.dumps(changes))))
    return client.post(f"/datasets/{dataset}/revisions", files=parts, **options)


def listed(client: TestClient, dataset: str) -> list[tuple[int, str, str]]:
    items = ok(client.get(f"/datasets/{dataset}/images", params={"limit": 100}))["items"]
    return [(item["position"], item["label"], item["path"]) for item in items]


def test_images_are_removed_and_relabelled_without_an_upload(site: Site, client: TestClient) -> None:
    source = new_dataset(client, FILES, "pets")
    before, files = listed(client, source["id"]), stored_files(site)
    relabel = [
        {"position": 0, "label": "dog"},
        {"position": 5, "label": " bird\u200b"},
        {"position": 6, "label": "bird"},
    ]
    answer = revise(client, source["id"], remove=[1], relabel=relabel)
    made = ok(answer, 201)
    assert answer.headers["location"] == f"/datasets/{made['id']}"
    assert (made["name"], made["revision_of"], made["test_dataset_id"]) == ("pets", source["id"], None)
    assert made["classes"] == [{"name": name, "count": 2} for name in ("bird", "cat", "dog")]
    assert listed(client, made["id"]) == list(
        zip(
            range(6),
            ["bird", "bird", "cat", "cat", "dog", "dog"],
            ["dog/1.png", "dog/2.png", "cat/2.png", "cat/3.png", "cat/0.png", "dog/0.png"],
            strict=True,
        )
    )
    for position, _, path in listed(client, made["id"]):
        assert client.get(f"/datasets/{made['id']}/images/{position}").content == FILES[path]
    assert (listed(client, source["id"]), stored_files(site)) == (before, files)
    assert ok(client.get(f"/datasets/{source['id']}"))["revision_of"] is None
    assert ok(client.get(f"/datasets/{made['id']}")) | {"test_dataset_id": None} == made
    assert [event["action"] for event in ok(client.get("/audit"))["items"][:2]] == ["dataset.created"] * 2


@pytest.mark.parametrize("as_zip", [False, True])
def test_images_are_added_and_what_is_there_is_a_duplicate(site: Site, client: TestClient, as_zip: bool) -> None:
    source = new_dataset(client, FILES)
    files = {"cat/new.png": png(50), "cat/again.png": FILES["cat/1.png"], "dog/wrong.png": FILES["cat/2.png"],
             "dog/back.png": FILES["dog/0.png"], "dog/text.png": b"text"}  # fmt: skip
    changes = {"name": "more", "remove": [4], "relabel": [{"position": 0, "label": "dog"}]}
    if as_zip:
        sent: dict[str, Any] = {
            "data": {"changes": json.dumps(changes)},
            "files": {"archive": ("a.zip", zipped(files))},
        }
        answer = client.post(f"/datasets/{source['id']}/revisions", **sent)
    else:
        answer = revise_with(client, source["id"], files, changes)
    made = ok(answer, 201)
    assert (made["name"], made["image_count"]) == ("more", 8)
    assert made["classes"] == [{"name": "cat", "count": 4}, {"name": "dog", "count": 4}]
    assert {each["path"]: each["code"] for each in made["rejected"]} == {
        "cat/again.png": "duplicate",
        "dog/wrong.png": "duplicate_other_class",
        "dog/text.png": "not_an_image",
    }
    assert len(stored_files(site)) == 8


def test_images_to_test_on_become_a_dataset_of_their_own(client: TestClient) -> None:
    source = new_dataset(client, FILES)
    files = {f"test/{label}/{n}.png": png(60 + n) for n, label in enumerate(("cat", "dog"))}
    made = ok(revise_with(client, source["id"], files | {"train/cat/x.png": png(70)}), 201)
    assert made["image_count"] == 8
    assert ok(client.get(f"/datasets/{made['test_dataset_id']}"))["image_count"] == 2


def test_a_revision_outlives_what_it_was_made_of(site: Site, client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    made = ok(revise(client, source, remove=[0, 1]), 201)["id"]
    assert client.delete(f"/datasets/{source}").status_code == 204
    assert len(stored_files(site)) == 5
    for position, _, path in listed(client, made):
        assert client.get(f"/datasets/{made}/images/{position}").content == FILES[path]
    problem(revise(client, made, remove=[0]), 422, "too_few_images")
    assert client.delete(f"/datasets/{made}").status_code == 204
    assert stored_files(site) == set()


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({}, "invalid_input", "remove, relabel, files, archive"),
        ({"name": "x"}, "invalid_input", "remove, relabel, files, archive"),
        ({"remove": [7]}, "invalid_input", "remove[0]: the dataset has no image 7"),
        ({"remove": [0, 2, 0]}, "invalid_input", "remove[2]: image 0 is named by remove[0]"),
        (
            {"relabel": [{"position": 9, "label": "x"}]},
            "invalid_input",
            "relabel[0].position: the dataset has no image",
        ),
        (
            {"relabel": [{"position": 1, "label": "x"}, {"position": 1, "label": "y"}]},
            "invalid_input",
            "relabel[1].position: image 1 is named by relabel[0].position",
        ),
        ({"remove": [3], "relabel": [{"position": 3, "label": "x"}]}, "invalid_input", "is named by remove[0]"),
        ({"relabel": [{"position": 3, "label": "\u200b "}]}, "empty_label", "relabel[0].label"),
        ({"relabel": [{"position": 3, "label": "x" * 101}]}, "label_too_long", "relabel[0].label"),
        ({"relabel": [{"position": 3, "label": "a\0"}]}, "control_characters", "relabel[0].label"),
        ({"remove": [-1]}, "invalid_request", "remove"),
        ({"remove": [2**31]}, "invalid_request", "remove"),
        ({"remove": "all"}, "invalid_request", "remove"),
        ({"add": [1]}, "invalid_request", "add"),
        ({"name": " ", "remove": [0]}, "invalid_input", "name"),
        ({"relabel": [{"position": n, "label": "Cat"} for n in (4, 5, 6)]}, "labels_alike", "Cat"),
        ({"remove": [4, 5]}, "too_few_images", "dog"),
        ({"remove": [4, 5, 6]}, "too_few_classes", "cat"),
    ],
)
def test_what_makes_no_revision_says_why_and_leaves_nothing(
    site: Site, client: TestClient, changes: dict[str, Any], code: str, words: str
) -> None:
    source = new_dataset(client, FILES)["id"]
    assert words in problem(revise(client, source, **changes), 422, code)["detail"]
    assert words in problem(revise_with(client, source, {}, changes), 422, code)["detail"]
    assert len(ok(client.get("/datasets"))["items"]) == 1
    assert len(stored_files(site)) == 7


def test_a_form_that_cannot_be_read_says_why(client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    problem(revise_with(client, source, {"cat/9.png": png(9)}, [1]), 422, "invalid_request")
    parts = [("changes", ("c.json", b"{}")), ("files", ("cat/9.png", png(9)))]
    answer = client.post(f"/datasets/{source}/revisions", files=parts)
    assert "changes" in problem(answer, 422, "invalid_input")["detail"]
    for content, kind, status in (("{", "application/json", 422), ("{}", "text/plain", 415)):
        answer = client.post(f"/datasets/{source}/revisions", content=content, headers={"content-type": kind})
        assert answer.status_code == status


def test_a_field_that_would_be_dropped_is_refused(client: TestClient) -> None:
    path = f"/datasets/{new_dataset(client, FILES, 'pets')['id']}/revisions"
    remove = ("changes", (None, '{"remove": [1]}'))
    twice = client.post(path, files=[remove, remove])
    assert "changes" in problem(twice, 422, "invalid_input")["detail"]
    named = client.post(path, files=[remove, ("name", (None, "other"))])
    assert "name" in problem(named, 422, "invalid_input")["detail"]


@pytest.mark.parametrize("position", [True, "1", 1.0])
def test_a_position_is_a_whole_number(client: TestClient, position: Any) -> None:
    dataset = new_dataset(client, FILES, "pets")["id"]
    assert "remove.0" in problem(revise(client, dataset, remove=[position]), 422, "invalid_request")["detail"]


def test_a_class_that_gets_too_small_is_left_out(client: TestClient) -> None:
    source = new_dataset(client, labelled({"cat": 2, "dog": 2, "yak": 2}))["id"]
    made = ok(revise(client, source, remove=[5]), 201)
    assert [entry["name"] for entry in made["classes"]] == ["cat", "dog"]
    assert [(each["path"], each["code"]) for each in made["rejected"]] == [("yak", "class_too_small")]


def test_the_limits_of_an_upload_hold(site: Site) -> None:
    small = site.with_limits(max_dataset_images=7, max_dataset_classes=2)
    client = small.new_tenant()
    source = new_dataset(client, FILES)["id"]
    problem(revise_with(client, source, {"cat/9.png": png(90)}), 422, "too_many_images")
    ok(revise_with(client, source, {"cat/9.png": png(90)}, {"remove": [0]}), 201)
    problem(revise(client, source, relabel=[{"position": 0, "label": "yak"}]), 422, "too_many_classes")


def test_the_same_key_makes_one_revision(site: Site, client: TestClient) -> None:
    source, key = new_dataset(client, FILES)["id"], {"Idempotency-Key": "k"}
    path, body = f"/datasets/{source}/revisions", {"remove": [0]}
    first, second = (client.post(path, json=body, headers=key) for _ in range(2))
    assert ok(first, 201) == ok(second, 201)
    assert second.headers["idempotent-replayed"] == "true"
    problem(client.post(path, json={"remove": [1]}, headers=key), 422, "idempotency_mismatch")
    added = [revise_with(client, source, {"cat/9.png": png(90)}, headers={"Idempotency-Key": "l"}) for _ in range(2)]
    assert ok(added[0], 201) == ok(added[1], 201)
    assert len(ok(client.get("/datasets"))["items"]) == 3
    assert len(stored_files(site)) == 8


def test_a_revision_costs_no_quota_but_for_what_is_new(site: Site, client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    with site.services.sessions.begin() as session:
        tenants.set_quota(session, site.tenant_id(client), Quota(images=8))
    ok(revise(client, source, remove=[0]), 201)
    problem(revise_with(client, source, {"cat/8.png": png(80), "cat/9.png": png(90)}), 409, "quota_exceeded")
    ok(revise_with(client, source, {"cat/9.png": png(90)}), 201)
    assert ok(client.get("/usage"))["usage"]["images"] == 8


def test_a_foreign_or_deleted_dataset_has_no_revisions(site: Site, client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    other = site.new_tenant("other")
    problem(revise(other, source, remove=[0]), 404, "not_found")
    problem(revise_with(other, source, {"cat/9.png": png(90)}), 404, "not_found")
    assert client.delete(f"/datasets/{source}").status_code == 204
    problem(revise(client, source, remove=[0]), 404, "not_found")


def test_a_revision_of_what_the_version_before_wrote_has_its_files(site: Site, client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    root, tenant_id = site.services.settings.blob_dir, site.tenant_id(client)
    (root / "images" / tenant_id).rename(root / source)
    with site.services.sessions.begin() as session:
        session.connection().exec_driver_sql("UPDATE dataset_images SET adopted = false")
        session.connection().exec_driver_sql("DELETE FROM images")
    assert client.get(f"/datasets/{source}/images/0").content == FILES["cat/0.png"]
    made = ok(revise(client, source, remove=[0]), 201)["id"]
    assert client.delete(f"/datasets/{source}").status_code == 204
    for position, _, path in listed(client, made):
        assert client.get(f"/datasets/{made}/images/{position}").content == FILES[path]
    assert ok(client.get("/usage"))["usage"]["images"] == 6


def test_what_a_revision_shares_with_its_dataset_measures_nothing(client: TestClient) -> None:
    source = new_dataset(client, FILES)["id"]
    made = ok(revise(client, source, remove=[0]), 201)["id"]
    body = {"name": "a", "dataset_id": made, "test_dataset_id": source}
    assert problem(client.post("/adapters", json=body), 422, "invalid_dataset")["shared_images"] == 6
