from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from fastapi.testclient import TestClient
from kombu.exceptions import OperationalError
from sqlalchemy import select

from saft_core.delta import decode
from saft_core.store.models import Adapter, AdapterMistake, Dataset, Job
from saft_core.templates import as_template
from saft_core.tuning.config import TrainingConfig
from tests.fixtures.models import make_base
from tests.fixtures.rest import Site, container, labelled, new_dataset, ok, png, problem


def order(client: TestClient, **changes: Any) -> Any:
    body = {"name": "icons", "dataset_id": changes.pop("dataset_id", None) or new_dataset(client)["id"]}
    return client.post("/adapters", json=body | changes)


def send(client: TestClient, data: bytes, filename: str = "mine.saft", **form: str) -> Any:
    return client.post("/adapters/import", files={"file": (filename, data)}, data=form)


# --- ordering --------------------------------------------------------------------------------------------------------


def test_an_order_is_a_job_with_a_complete_config_that_a_worker_is_told_of(site: Site, client: TestClient) -> None:
    answer = order(client, config={"epochs": 3, "seed": 7})
    job = ok(answer, 202)
    assert answer.headers["location"] == f"/jobs/{job['id']}"
    assert (job["status"], job["phase"], job["progress"], job["adapter_id"]) == ("queued", "queued", 0.0, None)
    defaults = site.services.engine.base.defaults
    expected = vars(defaults) | {"epochs": 3, "seed": 7}
    assert job["config"] == expected
    assert TrainingConfig(**job["config"]).seed == 7
    assert site.published == [job["id"]]
    with site.services.sessions() as session:
        assert session.get_one(Job, job["id"]).published_at is not None


@pytest.mark.parametrize(
    ("given", "kept"), [("a {}", "a {}"), (["a {}"], "a {}"), (["a {}", "the {}"], ["a {}", "the {}"])]
)
def test_a_job_keeps_one_template_as_a_text_and_several_as_a_list(
    client: TestClient, given: str | list[str], kept: str | list[str]
) -> None:
    job = ok(order(client, config={"template": given}), 202)
    assert job["config"]["template"] == kept
    assert ok(client.get(f"/jobs/{job['id']}"))["config"] == job["config"]
    assert TrainingConfig.read(job["config"]).template == as_template(given)


def test_a_broker_that_is_away_does_not_lose_the_job(site: Site) -> None:
    def refuse(_: str) -> None:
        raise OperationalError("connection refused")

    object.__setattr__(site.services, "publish", refuse)
    client = site.new_tenant()
    job = ok(order(client), 202)
    assert ok(client.get(f"/jobs/{job['id']}"))["status"] == "queued"
    with site.services.sessions() as session:
        assert session.get_one(Job, job["id"]).published_at is None


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"density": 0.2}, "max_density"),
        ({"density": 0}, "density"),
        ({"density": 1e-9}, "density"),
        ({"epochs": 1001}, "max_epochs"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0}, "learning_rate"),
        ({"learning_rate": "nan"}, "learning_rate"),
        ({"batch_size": 0}, "batch_size"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**32}, "seed"),
        ({"encoders": "none"}, "encoders"),
        ({"template": "a photo"}, "template"),
        ({"template": "{} and {}"}, "template"),
        ({"template": "{}" + "x" * 300}, "template"),
        ({"template": []}, "max_templates"),
        ({"template": [f"{n} {{}}" for n in range(17)]}, "max_templates"),
        ({"template": ["{}", "a photo"]}, "template[1]"),
        ({"template": ["{}", "{}"]}, "given twice"),
        ({"template": ["{}", 5]}, "template"),
        ({"templat": "{}"}, "templat"),
    ],
)
def test_a_config_that_cannot_be_is_refused_at_once_and_named(
    site: Site, client: TestClient, config: dict[str, Any], words: str
) -> None:
    answer = order(client, config=config)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]
    assert site.published == []
    assert ok(client.get("/jobs"))["items"] == []


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\nb", "base", " base ", "ad_" + "0" * 32, "a\u202eb"])
def test_a_name_that_cannot_be(client: TestClient, name: str) -> None:
    assert "name" in problem(order(client, name=name), 422, "invalid_input")["detail"]


@pytest.mark.parametrize("name", ["Icons No. 3", "アイコン　その三", "👩‍🔬", "BASE"])
def test_names_of_any_language_are_taken(site: Site, client: TestClient, name: str) -> None:
    assert ok(order(client, name=name), 202)["name"] == name


def test_classes_of_the_test_dataset_need_not_be_trained_but_must_read_unlike_those(
    site: Site, client: TestClient
) -> None:
    train = new_dataset(client, labelled({"cat": 2, "dog": 2}))["id"]
    for seed, classes in enumerate(({"cat": 2, "dog": 2}, {"Cat": 2, "owl": 2, "ant": 2}, {"owl": 2, "ant": 2}), 50):
        test = new_dataset(client, labelled(classes, seed=seed))["id"]
        ordered = order(client, name=f"no. {seed}", dataset_id=train, test_dataset_id=test)
        assert ok(ordered, 202)["test_dataset_id"] == test
    ordered = len(site.published)
    test = new_dataset(client, labelled({"one two three four five six seven": 2, "dog": 2}, seed=60))["id"]
    problem(order(client, dataset_id=train, test_dataset_id=test), 422, "text_too_long")
    assert len(site.published) == ordered


def test_labels_are_checked_in_the_template_of_the_job(site: Site, client: TestClient) -> None:
    name = "one two three four five six seven"
    dataset_id = new_dataset(client, labelled({name: 2, "dog": 2}))["id"]
    body = problem(order(client, dataset_id=dataset_id), 422, "text_too_long")
    assert (body["tokens"], body["max_tokens"]) == (14, 12)
    assert f"a photo of a {name}." in body["detail"]
    with site.services.sessions.begin() as session:  # as one uploaded before labels were compared
        session.get_one(Dataset, dataset_id).classes = [{"name": "Cat", "count": 2}, {"name": "cat", "count": 2}]
    body = problem(order(client, dataset_id=dataset_id, config={"template": "one {}"}), 422, "labels_alike")
    assert (body["labels"], body["prompts"]) == (["Cat", "cat"], ["one Cat", "one cat"])
    assert site.published == []
    with site.services.sessions.begin() as session:
        session.get_one(Dataset, dataset_id).classes = [{"name": name, "count": 2}, {"name": "dog", "count": 2}]
    ok(order(client, dataset_id=dataset_id, config={"template": "one {}"}), 202)
    both = {"template": ["one {}", "a photo of a {}."]}
    problem(order(client, dataset_id=dataset_id, config=both), 422, "text_too_long")


def test_a_test_dataset_that_is_trained_on_is_refused_at_once(site: Site, client: TestClient) -> None:
    files = labelled({"cat": 3, "dog": 3})
    train, copy = new_dataset(client, files)["id"], new_dataset(client, files, "again")["id"]
    for test in (train, copy):
        body = problem(order(client, dataset_id=train, test_dataset_id=test), 422, "invalid_dataset")
        assert body["shared_images"] == 6
        assert "6 of its 6 images are in the training dataset" in body["detail"]
    mostly = new_dataset(client, files | {"cat/more.png": png(90)}, "mostly")["id"]
    body = problem(order(client, dataset_id=train, test_dataset_id=mostly), 422, "invalid_dataset")
    assert "1 images are too few for 2 classes" in body["detail"]
    enough = new_dataset(client, files | {"cat/more.png": png(90), "dog/more.png": png(91)}, "enough")["id"]
    ok(order(client, dataset_id=train, test_dataset_id=enough), 202)
    assert len(site.published) == 1


def test_another_tenants_images_do_not_count_as_shared(site: Site, client: TestClient) -> None:
    files = labelled({"cat": 3, "dog": 3})
    new_dataset(site.new_tenant("other"), files)
    train, test = new_dataset(client)["id"], new_dataset(client, labelled(seed=70), "test")["id"]
    ok(order(client, dataset_id=train, test_dataset_id=test), 202)


def test_a_job_notes_the_base_it_is_for(site: Site, client: TestClient) -> None:
    job = ok(order(client), 202)
    with site.services.sessions() as session:
        assert session.get_one(Job, job["id"]).base_fingerprint == site.services.engine.base.fingerprint


def test_a_name_has_one_job_under_way(site: Site, client: TestClient) -> None:
    job = ok(order(client), 202)
    assert job["id"] in problem(order(client), 409, "name_taken")["detail"]
    ok(order(site.new_tenant("other")), 202)
    site.work(job["id"])
    ok(order(client), 202)


# --- what is there ---------------------------------------------------------------------------------------------------


def test_an_adapter_tells_what_it_is(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, template="an icon of {}")
    base = site.services.engine.base
    assert (adapter["classes"], adapter["template"], adapter["base"]) == (["cat", "dog"], "an icon of {}", base.name)
    assert adapter["nnz"] == sum(block["selected"] for block in adapter["blocks"])
    assert sum(block["parameters"] for block in adapter["blocks"]) == base.parameter_count
    assert ok(client.get("/adapters/icons")) == adapter
    (item,) = ok(client.get("/adapters"))["items"]
    assert set(adapter) == set(item)
    assert {name: item[name] for name in item if name != "metrics"} == {
        name: adapter[name] for name in item if name != "metrics"
    }
    assert item["metrics"]["accuracy"] == adapter["metrics"]["accuracy"]


def test_a_list_has_no_matrix_and_no_curve(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    long = {"accuracy": 0.5, "confusion": {"adapted": [[1] * 50] * 50}, "per_class": [], "right": 3}
    with site.services.sessions.begin() as session:
        session.get_one(Adapter, adapter["id"]).metrics = long
        job = session.get_one(Job, adapter["job_id"])
        job.metrics, job.losses = long, [[step, 1.0] for step in range(200)]
    (item,), (listed,) = (ok(client.get(path))["items"] for path in ("/adapters", "/jobs"))
    for entry in (item, listed):
        assert (entry["metrics"]["accuracy"], entry["metrics"]["right"]) == (0.5, 3)
        assert not {"confusion", "per_class"} & set(entry["metrics"])
    assert "losses" not in listed
    assert ok(client.get("/adapters/icons"))["metrics"] == long
    assert len(ok(client.get(f"/jobs/{adapter['job_id']}"))["losses"]) == 200


def test_a_job_in_a_list_without_metrics_has_none(client: TestClient) -> None:
    ok(order(client), 202)
    (listed,) = ok(client.get("/jobs"))["items"]
    assert listed["metrics"] is None


# --- versions --------------------------------------------------------------------------------------------------------


def test_a_name_means_its_published_version(site: Site, client: TestClient) -> None:
    first, second = site.new_adapter(client), site.new_adapter(client)
    assert (first["version"], second["version"], second["published"]) == (1, 2, True)
    got = {key: ok(client.get(f"/adapters/{key}"))["id"] for key in ("icons", "icons@1", "icons@2", first["id"])}
    assert got == {"icons": second["id"], "icons@1": first["id"], "icons@2": second["id"], first["id"]: first["id"]}
    problem(client.get("/adapters/icons@3"), 404, "not_found")
    back = ok(client.post("/adapters/icons@1/publish"))
    assert (back["id"], back["published"]) == (first["id"], True)
    assert ok(client.get("/adapters/icons"))["id"] == first["id"]
    items = ok(client.get("/adapters"))["items"]
    assert [(one["version"], one["published"]) for one in items] == [(2, False), (1, True)]


def test_a_version_waits_until_it_is_published(site: Site, client: TestClient) -> None:
    first = site.new_adapter(client)
    job = ok(order(client, publish="manual"), 202)
    assert job["publish"] == "manual"
    second = site.work(job["id"])
    assert ok(client.get("/adapters/icons"))["id"] == first["id"]
    ok(client.post(f"/adapters/{second}/publish"))
    assert ok(client.get("/adapters/icons"))["id"] == second


@pytest.mark.parametrize("name", ["icons@3", "@1", "a@b@12", "icons@007"])
def test_no_name_reads_like_a_version(client: TestClient, name: str) -> None:
    assert "name" in problem(order(client, name=name), 422, "invalid_input")["detail"]


def test_versions_are_listed_by_name_and_by_what_answers(site: Site, client: TestClient) -> None:
    for name in ("icons", "icons", "pets"):
        site.new_adapter(client, name)

    def listed(**query: Any) -> list[tuple[str, int]]:
        return [(one["name"], one["version"]) for one in ok(client.get("/adapters", params=query))["items"]]

    assert listed() == [("pets", 1), ("icons", 2), ("icons", 1)]
    assert listed(name="icons") == [("icons", 2), ("icons", 1)]
    assert listed(published=True) == [("pets", 1), ("icons", 2)]
    assert listed(name="icons", published=False) == [("icons", 1)]
    assert listed(name="none") == []
    first = ok(client.get("/adapters", params={"name": "icons", "limit": 1}))
    assert [one["version"] for one in first["items"]] == [2]
    assert listed(name="icons", cursor=first["next_cursor"]) == [("icons", 1)]


def test_the_version_that_answers_is_deleted_with_the_name_alone(site: Site, client: TestClient) -> None:
    first, second = site.new_adapter(client), site.new_adapter(client)
    assert "publish another" in problem(client.delete(f"/adapters/{second['id']}"), 409, "conflict")["detail"]
    assert client.delete("/adapters/icons@1").status_code == 204
    problem(client.get(f"/adapters/{first['id']}"), 404, "not_found")
    site.new_adapter(client)
    assert client.delete("/adapters/icons").status_code == 204
    assert ok(client.get("/adapters"))["items"] == []


def test_what_is_brought_in_under_a_name_is_its_next_version(site: Site, client: TestClient) -> None:
    first = site.new_adapter(client)
    data = container(site.services.engine.base)
    waits = ok(send(client, data, name="icons", publish="manual"), 201)
    assert (waits["version"], waits["published"]) == (2, False)
    assert ok(client.get("/adapters/icons"))["id"] == first["id"]
    third = ok(send(client, data, name="icons"), 201)
    assert (third["version"], third["published"], third["name"]) == (3, True, "icons")
    for wrong in ("if_better", "AUTO", "yes"):
        assert "publish" in problem(send(client, data, name="icons", publish=wrong), 422, "invalid_input")["detail"]


def test_more_versions_than_the_limit_are_not_kept(site: Site) -> None:
    limited = site.with_limits(max_adapter_versions=2)
    client = limited.new_tenant()
    for _ in range(4):
        ok(send(client, container(site.services.engine.base), name="icons"), 201)
    assert [one["version"] for one in ok(client.get("/adapters"))["items"]] == [4, 3]


def test_a_version_of_another_base_is_not_published(site: Site, client: TestClient) -> None:
    site.new_adapter(client)
    job = ok(order(client, publish="manual"), 202)
    second = site.work(job["id"])
    with site.services.sessions.begin() as session:
        session.get_one(Adapter, second).base_fingerprint = "f" * 64
    problem(client.post(f"/adapters/{second}/publish"), 409, "base_mismatch")
    assert ok(client.get("/adapters/icons"))["version"] == 1


def test_versions_are_one_tenants(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    other = site.new_tenant("other")
    for key in (adapter["id"], "icons", "icons@1"):
        problem(other.post(f"/adapters/{key}/publish"), 404, "not_found")
        problem(other.post(f"/adapters/{key}/retrain"), 404, "not_found")
    assert ok(other.get("/adapters", params={"name": "icons"}))["items"] == []


def test_a_deleted_adapter_is_gone_at_once_though_the_engine_still_holds_it(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    body = {"adapter": adapter["id"], "images": [base64.b64encode(png()).decode()]}
    ok(client.post("/classify", json=body))
    assert client.delete(f"/adapters/{adapter['id']}").status_code == 204
    problem(client.post("/classify", json=body), 404, "not_found")
    problem(client.get(f"/adapters/{adapter['id']}"), 404, "not_found")
    problem(client.get(f"/adapters/{adapter['id']}/delta"), 404, "not_found")
    assert ok(client.get(f"/jobs/{adapter['job_id']}"))["status"] == "succeeded"
    ok(order(client), 202)  # the name is free again


# --- out and in ------------------------------------------------------------------------------------------------------


def test_a_container_goes_out_as_it_is_stored(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    answer = client.get(f"/adapters/{adapter['id']}/delta")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"] == f'attachment; filename="{adapter["id"]}.saft"'
    assert answer.headers["etag"] == f'"{hashlib.sha256(answer.content).hexdigest()}"'
    delta, header = decode(answer.content, max_bytes=1 << 20)
    assert (len(delta), header.classes) == (adapter["nnz"], ("cat", "dog"))
    again = client.get(f"/adapters/{adapter['id']}/delta", headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_container_comes_in_at_another_tenants(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    data = client.get(f"/adapters/{adapter['id']}/delta").content
    other = site.new_tenant("other")
    answer = send(other, data, "theirs.saft")
    made = ok(answer, 201)
    assert answer.headers["location"] == f"/adapters/{made['id']}"
    assert made["name"] == "theirs"
    assert made["job_id"] is None
    same = ("classes", "template", "density", "nnz", "delta_bytes", "base", "base_fingerprint", "metrics", "blocks")
    assert {name: made[name] for name in same} == {name: adapter[name] for name in same}
    assert other.get(f"/adapters/{made['id']}/delta").content == data
    assert ok(send(other, data, "x.saft", name=" Named "), 201)["name"] == "Named"


def test_a_container_of_several_templates_goes_out_and_comes_in(site: Site, client: TestClient) -> None:
    templates = ["an icon of {}", "the {}"]
    adapter = site.new_adapter(client, template=templates)
    data = client.get(f"/adapters/{adapter['id']}/delta").content
    assert decode(data, max_bytes=1 << 20)[1].template == tuple(templates)
    other = site.new_tenant("other")
    made = ok(send(other, data), 201)
    assert made["template"] == adapter["template"] == templates
    assert ok(other.get("/adapters/mine")) == made
    assert other.get(f"/adapters/{made['id']}/delta").content == data


def test_a_container_brings_its_strength(site: Site, client: TestClient) -> None:
    base = site.services.engine.base
    assert ok(send(client, container(base, metrics={"strength": 0.5}), "half.saft"), 201)["strength"] == 0.5
    assert ok(send(client, container(base, metrics={}), "before.saft"), 201)["strength"] == 1


CALIBRATION = {"temperature": 0.5, "unknown": {"slope": 9.0, "intercept": -3.0, "threshold": 0.4, "auroc": 0.9}}


def test_a_container_brings_its_calibration(site: Site, client: TestClient) -> None:
    made = ok(send(client, container(site.services.engine.base, metrics=CALIBRATION), "mine.saft"), 201)
    with site.services.sessions() as session:
        assert session.scalars(select(Adapter.calibration).where(Adapter.id == made["id"])).one() == CALIBRATION


@pytest.mark.parametrize(
    "stated",
    [
        {"temperature": 0},
        {"temperature": "1"},
        {"unknown": {"slope": None}},
        {"accuracy": "NaN"},
        {"accuracy": [1]},
        {"accuracy": 1e308},
        {"zero_shot_accuracy": True},
        {"zero_shot_accuracy": {}},
    ],
)
def test_a_calibration_that_is_none_is_refused(site: Site, client: TestClient, stated: dict[str, Any]) -> None:
    answer = send(client, container(site.services.engine.base, metrics=stated), "mine.saft")
    assert "metrics." in problem(answer, 422, "invalid_delta")["detail"]


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 1]) + data[position + 1 :]


def test_a_damaged_container_is_refused(site: Site, client: TestClient) -> None:
    good = container(site.services.engine.base)
    damaged = [
        b"",
        b"SAFTDLT3",
        good[:-1],
        good + b"\0",
        *(flipped(good, at) for at in (0, 9, 20, len(good) - 40, len(good) - 1)),
    ]
    for data in damaged:
        problem(send(client, data), 422, "invalid_delta")
    assert ok(client.get("/adapters"))["items"] == []


def test_a_container_whose_classes_cannot_be_told_apart_is_refused(site: Site, client: TestClient) -> None:
    base = site.services.engine.base
    body = problem(send(client, container(base, classes=("hot_dog", "hot dog"))), 422, "labels_alike")
    assert body["labels"] == ["hot_dog", "hot dog"]
    problem(send(client, container(base, classes=("cat", "word " * 15))), 422, "text_too_long")
    problem(send(client, container(base, template=("{}", "{}" + " word" * 15))), 422, "text_too_long")
    assert ok(client.get("/adapters"))["items"] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"template": "{} and {}"},
        {"template": ("{}", "{} and {}")},
        {"template": ("{}", "{}")},
        {"template": tuple(f"{n} {{}}" for n in range(17))},
        {"classes": ("cat", "cat")},
        {"classes": ("x" * 101,)},
        {"parameter_count": 10**9},
        *({"metrics": {"strength": strength}} for strength in (-0.1, 1.1, "1", None, True)),
    ],
)
def test_a_container_that_our_own_workers_would_not_write_is_refused(
    site: Site, client: TestClient, changes: dict[str, Any]
) -> None:
    problem(send(client, container(site.services.engine.base, **changes)), 422, "invalid_delta")


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        (b'"name-of-base"', b'"name-of-bas\\u0000"'),
        (b'"note":"12345678"', b'"note":"12\\ud800"'),
        (b'"note":"12345678"', b'"note":NaN'),
        (b'"note":"12345678"', b'"note":1e999'),
    ],
)  # fmt: skip
def test_a_container_with_a_header_that_cannot_be_stored_is_refused(
    site: Site, client: TestClient, good: bytes, bad: bytes
) -> None:
    data = container(site.services.engine.base, base_name="name-of-base", metrics={"note": "12345678"})
    body = data[:-32].replace(good, bad)
    length = int.from_bytes(data[8:12], "little") + len(bad) - len(good)
    body = body[:8] + length.to_bytes(4, "little") + body[12:]
    assert bad in body
    answer = send(client, body + hashlib.sha256(body).digest())
    assert answer.status_code == 422, answer.text
    assert ok(client.get("/adapters"))["items"] == []


def test_a_container_for_another_base_is_refused_naming_both(site: Site, client: TestClient) -> None:
    other, own = make_base("vit", seed=1), site.services.engine.base
    body = problem(send(client, container(other, base_name="another-clip")), 409, "base_mismatch")
    for words in ("another-clip", other.fingerprint[:12], own.name, own.fingerprint[:12]):
        assert words in body["detail"]


def test_a_container_above_the_limit_is_refused(site: Site) -> None:
    data = container(site.services.engine.base)
    client = site.with_limits(max_delta_bytes=len(data) - 1).new_tenant()
    assert "max_delta_bytes" in problem(send(client, data), 413, "too_large")["detail"]


def test_an_import_without_a_file(client: TestClient) -> None:
    problem(client.post("/adapters/import", data={"name": "x"}, files={"other": b""}), 422, "invalid_input")


def test_mistakes_are_listed_with_where_the_image_is(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    dataset_id = ok(client.get(f"/jobs/{adapter['job_id']}"))["dataset_id"]
    assert ok(client.get(f"/adapters/{adapter['id']}/mistakes")) == {"items": [], "next_cursor": None}
    with site.services.sessions.begin() as session:
        tenant_id = session.get_one(Adapter, adapter["id"]).tenant_id
        session.add_all(
            AdapterMistake(
                tenant_id=tenant_id, adapter_id=adapter["id"], place=place, dataset_id=dataset_id, position=position,
                split=split, prediction="dog",
            )
            for place, (position, split) in enumerate([(1, "held-out"), (0, "training")])
        )  # fmt: skip
    first = ok(client.get(f"/adapters/{adapter['name']}/mistakes?limit=1"))
    assert first["items"] == [
        {
            "dataset_id": dataset_id, "position": 1, "path": "cat/1.png", "label": "cat", "prediction": "dog",
            "split": "held-out",
        }
    ]  # fmt: skip
    rest = ok(client.get(f"/adapters/{adapter['id']}/mistakes?cursor={first['next_cursor']}"))
    assert ([item["split"] for item in rest["items"]], rest["next_cursor"]) == (["training"], None)
    assert client.get(f"/datasets/{dataset_id}/images/1").status_code == 200
    problem(client.get(f"/adapters/{adapter['id']}/mistakes?cursor=x"), 422, "invalid_cursor")
    problem(site.new_tenant("other").get(f"/adapters/{adapter['id']}/mistakes"), 404, "not_found")
    assert client.delete(f"/datasets/{dataset_id}").status_code == 204
    assert ok(client.get(f"/adapters/{adapter['id']}/mistakes"))["items"] == []
