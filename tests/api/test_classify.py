from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pillow_heif
import pytest
from fastapi.testclient import TestClient
from PIL import Image
from sqlalchemy import update

from api import images as module
from saft_core.calibration import Unknown
from saft_core.data.images import decode_image
from saft_core.store.models import Adapter
from saft_core.templates import Template, as_template
from tests.fixtures.rest import TEMPLATE, Site, container, new_collection, ok, png, problem

pillow_heif.register_heif_opener()  # of the tests alone: they write such files

LABELS = ["cat", "dog", "owl"]
ENSEMBLE = ["an icon of {}", "the {}", "{}!"]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(client: TestClient, images: list[bytes], **body: Any) -> Any:
    return client.post("/classify", json={"images": [b64(image) for image in images]} | body)


def send(client: TestClient, images: list[bytes], **form: Any) -> Any:
    files = [("files", (f"{number}.png", image)) for number, image in enumerate(images)]
    return client.post("/classify", files=files, data=form)


def expected(
    site: Site, adapter_id: str | None, images: list[bytes], labels: list[str], template: Template
) -> list[Any]:
    """What the engine says, in the form of an answer."""
    decoded = [decode_image(image, site.services.data_limits) for image in images]
    rows = site.services.engine.classify(adapter_id, decoded, tuple(labels), template).probabilities
    return [
        {"predictions": [{"label": labels[i], "probability": float(row[i])} for i in np.argsort(-row)]} for row in rows
    ]


def close(results: list[Any]) -> list[Any]:
    """The same results for a comparison that forgives rounding."""
    return [
        [(p["label"], pytest.approx(p["probability"], abs=1e-6)) for p in result["predictions"]] for result in results
    ]


def plain(results: list[Any]) -> list[Any]:
    return [[(p["label"], p["probability"]) for p in result["predictions"]] for result in results]


def test_the_base_answers_like_zero_shot_clip_in_the_order_of_the_images(site: Site, client: TestClient) -> None:
    images = [png(seed) for seed in range(5)]
    template = site.services.engine.base.defaults.template
    answer = ok(ask(client, images, labels=LABELS))
    assert answer["adapter"] == "base"
    assert plain(answer["results"]) == close(expected(site, None, images, LABELS, template))
    backwards = ok(ask(client, images[::-1], labels=LABELS))
    assert plain(backwards["results"]) == close(answer["results"][::-1])


def test_an_adapter_answers_by_id_and_name_with_its_own_classes_and_template(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, template="an icon of {}", values=0.3)
    images = [png(1), png(2)]
    by_id, by_name = ok(ask(client, images, adapter=adapter["id"])), ok(ask(client, images, adapter="icons"))
    assert by_id == by_name
    assert by_id["adapter"] == adapter["id"]
    assert plain(by_id["results"]) == close(expected(site, adapter["id"], images, ["cat", "dog"], "an icon of {}"))
    base = ok(ask(client, images, labels=["cat", "dog"], template="an icon of {}"))
    assert plain(base["results"]) != close(by_id["results"])


def test_given_labels_and_template_go_before_the_adapters(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    answer = ok(ask(client, [png()], adapter="icons", labels=[" owl ", "fox"], template="{}!"))
    assert plain(answer["results"]) == close(expected(site, adapter["id"], [png()], ["owl", "fox"], "{}!"))


def test_a_form_gives_the_same_answer_as_json(site: Site, client: TestClient) -> None:
    site.new_adapter(client)
    images = [png(seed) for seed in range(3)]
    for options in ({"labels": LABELS, "top_k": 2}, {"adapter": "icons"}, {"adapter": "icons", "template": "{}."}):
        form = {name: str(value) if isinstance(value, int) else value for name, value in options.items()}
        assert ok(send(client, images, **form)) == ok(ask(client, images, **options))
    listed = ok(send(client, images, labels=json.dumps(LABELS)))
    assert listed == ok(ask(client, images, labels=LABELS))
    one = ok(send(client, images, labels="cat"))
    assert [p["label"] for p in one["results"][0]["predictions"]] == ["cat"]


def test_a_list_of_templates_is_answered_with_the_mean_of_their_prompts(site: Site, client: TestClient) -> None:
    images = [png(1), png(2)]
    answer = ok(ask(client, images, labels=LABELS, template=ENSEMBLE))
    assert plain(answer["results"]) == close(expected(site, None, images, LABELS, tuple(ENSEMBLE)))
    for other in (ENSEMBLE[:2], ENSEMBLE[0]):
        assert plain(ok(ask(client, images, labels=LABELS, template=other))["results"]) != close(answer["results"])
    assert ok(send(client, images, labels=LABELS, template=ENSEMBLE)) == answer
    assert ok(send(client, images, labels=LABELS, template=" " + json.dumps(ENSEMBLE, indent=1))) == answer


@pytest.mark.parametrize("template", ["{}!", "[{}]", "[an icon of] {}", '"{}"'])
def test_a_list_of_one_template_is_that_template(site: Site, client: TestClient, template: str) -> None:
    one = ok(ask(client, [png()], labels=LABELS, template=template))
    loads = site.services.engine.counters()["class_weights_loads"]
    assert ok(ask(client, [png()], labels=LABELS, template=[template])) == one
    assert ok(send(client, [png()], labels=LABELS, template=template)) == one
    assert ok(send(client, [png()], labels=LABELS, template=json.dumps([template]))) == one
    assert site.services.engine.counters()["class_weights_loads"] == loads


def test_an_adapter_of_several_templates_answers_with_them(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client, template=ENSEMBLE, values=0.3)
    assert adapter["template"] == ENSEMBLE
    answer = ok(ask(client, [png(1)], adapter="icons"))
    wanted = expected(site, adapter["id"], [png(1)], ["cat", "dog"], tuple(ENSEMBLE))
    assert plain(answer["results"]) == close(wanted)
    assert ok(ask(client, [png(1)], adapter="icons", template=ENSEMBLE)) == answer


def test_the_best_k_are_the_first_k_of_all(client: TestClient) -> None:
    everything = ok(ask(client, [png()], labels=LABELS))["results"][0]["predictions"]
    probabilities = [prediction["probability"] for prediction in everything]
    assert probabilities == sorted(probabilities, reverse=True)
    assert sum(probabilities) == pytest.approx(1, abs=1e-5)
    assert ok(ask(client, [png()], labels=LABELS, top_k=2))["results"][0]["predictions"] == everything[:2]
    assert ok(ask(client, [png()], labels=LABELS, top_k=1000))["results"][0]["predictions"] == everything


def test_pictures_of_phones_are_stored_with_their_type_and_found(client: TestClient) -> None:
    files = {"a.heic": png(1, form="HEIF"), "b.avif": png(2, form="AVIF"), "c.heic": b"\0\0\0\x10ftypheic" + bytes(40)}
    collection, ids = new_collection(client, files)
    assert set(ids) == {"a.heic", "b.avif"}
    for name, kind in (("a.heic", "image/heic"), ("b.avif", "image/avif")):
        stored = client.get(f"/collections/{collection}/images/{ids[name]}")
        assert (stored.headers["content-type"], stored.content) == (kind, files[name])
    query = {"collection_id": collection, "image": b64(files["a.heic"])}
    assert ok(client.post("/retrieve", json=query))["results"][0]["filename"] == "a.heic"


def test_all_accepted_formats_and_data_urls_are_read(client: TestClient) -> None:
    for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "HEIF"):
        ok(ask(client, [png(1, form=form)], labels=LABELS))
    url = "data:image/png;base64," + b64(png())
    answer = client.post("/classify", json={"images": [url], "labels": LABELS})
    assert ok(answer) == ok(ask(client, [png()], labels=LABELS))


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_many_images_are_answered_in_batches_of_any_size(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    images = [png(seed) for seed in range(5)]
    alone = [ok(ask(client, [image], labels=LABELS))["results"][0] for image in images]
    monkeypatch.setattr(module, "IMAGES_PER_BATCH", batch)
    assert plain(ok(ask(client, images, labels=LABELS))["results"]) == close(alone)


# --- errors ----------------------------------------------------------------------------------------------------------


def test_a_picture_that_cannot_be_read_is_named(client: TestClient) -> None:
    cut = png()[:-200]
    for position, bad, code in ((2, b"text", "not_an_image"), (0, b"", "empty_file"), (1, cut, "damaged_image")):
        images = [png(1), png(2), png(3)]
        images[position] = bad
        by_index = problem(ask(client, images, labels=LABELS), 422, code)
        assert by_index["where"] == f"images[{position}]"
        assert by_index["detail"].startswith(f"images[{position}]: ")
        assert problem(send(client, images, labels=LABELS), 422, code)["where"] == f"{position}.png"


def test_what_is_not_base64_is_named(client: TestClient) -> None:
    answer = client.post("/classify", json={"images": [b64(png()), "???"], "labels": LABELS})
    assert problem(answer, 422, "not_base64")["where"] == "images[1]"


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "labels"),
        ({"labels": []}, "labels"),
        ({"labels": ["cat", " cat"]}, "cat"),
        ({"labels": [" "]}, "labels"),
        ({"labels": ["x" * 101]}, "100"),
        ({"labels": [str(n) for n in range(1001)]}, "max_classify_labels"),
        ({"labels": LABELS, "template": "a photo"}, "{}"),
        ({"labels": LABELS, "template": "{} {}"}, "{}"),
        ({"labels": LABELS, "template": "{}" * 1 + "x" * 300}, "300"),
        ({"labels": LABELS, "template": []}, "max_templates"),
        ({"labels": LABELS, "template": [f"{n} {{}}" for n in range(17)]}, "got 17"),
        ({"labels": LABELS, "template": ["{}", "a photo"]}, "template[1]: write {} exactly once"),
        ({"labels": LABELS, "template": ["{}", "a {}", "{}" + "x" * 300]}, "template[2]: at most 300"),
        ({"labels": LABELS, "template": ["a\x07{}", "{}"]}, "template[0]: leave out"),
        ({"labels": LABELS, "template": ["a {}", "{}", "a {}"]}, "given twice: a {}"),
        ({"labels": LABELS, "template": ["{}", 1]}, "template"),
        ({"labels": LABELS, "template": {"a": 1}}, "template"),
        ({"labels": LABELS, "top_k": 0}, "top_k"),
        ({"labels": LABELS, "top_k": 1001}, "max_top_k"),
        ({"labels": LABELS, "top_k": "many"}, "top_k"),
        ({"labels": "cat"}, "labels"),
        ({"labels": LABELS, "tempalte": "{}"}, "tempalte"),
    ],
)
def test_a_question_that_cannot_be_answered_says_why(client: TestClient, body: dict[str, Any], words: str) -> None:
    answer = ask(client, [png()], **body)
    assert answer.status_code == 422
    assert words in answer.json()["detail"]


@pytest.mark.parametrize("ask", [ask, send])
def test_labels_that_are_read_alike_do_not_share_the_answer(client: TestClient, ask: Callable[..., Any]) -> None:
    for one, other in (("hot_dog", "hot dog"), ("R&D", "R&amp;D"), ("cat", "ｃａｔ"), ("Cat", "cat")):
        body = problem(ask(client, [png()], labels=["dog", one, other]), 422, "labels_alike")
        assert (body["labels"], len(body["prompts"])) == ([one, other], 2)
        assert one in body["detail"]
        assert other in body["detail"]


@pytest.mark.parametrize("ask", [ask, send])
def test_a_prompt_is_never_cut_without_a_word(client: TestClient, ask: Callable[..., Any]) -> None:
    label = "one two three four five six"
    body = problem(ask(client, [png()], labels=["cat", label]), 422, "text_too_long")
    assert (body["text"], body["tokens"], body["max_tokens"]) == (f"a photo of a {label}.", 13, 12)
    ok(ask(client, [png()], labels=["cat", label], template="a {}."))
    problem(ask(client, [png()], labels=["cat"], template="{}" + " word" * 20), 422, "text_too_long")
    problem(ask(client, [png()], labels=["cat"], template="<end_of_text>{}"), 422, "reserved_text")
    problem(ask(client, [png()], labels=["cat", "_"]), 422, "empty_label")


@pytest.mark.parametrize("labels", [["\u200b", "cat"], ["cat", "ca\u200bt"], ["cat", "cat\u200e"], ["é", "e\u0301"]])
def test_labels_that_look_like_another_or_like_nothing(client: TestClient, labels: list[str]) -> None:
    problem(ask(client, [png()], labels=labels), 422, "invalid_input")


@pytest.mark.parametrize("form", [{"labels": '["cat", 1]'}, {"labels": '["cat"'}, {"labels": LABELS, "top_k": "x"}])
def test_a_form_field_that_cannot_be_read(client: TestClient, form: dict[str, Any]) -> None:
    problem(send(client, [png()], **form), 422, "invalid_input")


@pytest.mark.parametrize(
    ("template", "code", "words"),
    [
        ('["{}", 1]', "invalid_input", "must hold texts"),
        ('["{}"', "invalid_input", "not a JSON list"),
        (" [ ] ", "invalid_config", "give 1 to 16 (max_templates), got 0"),
        (["{}", "a photo"], "invalid_config", "template[1]"),
        (["{}", "{}"], "invalid_config", "given twice"),
        ([f"{n} {{}}" for n in range(17)], "invalid_config", "got 17"),
    ],
)
def test_a_list_of_templates_that_cannot_be(
    client: TestClient, template: str | list[str], code: str, words: str
) -> None:
    assert words in problem(send(client, [png()], labels=LABELS, template=template), 422, code)["detail"]


def test_every_prompt_of_every_template_is_checked(client: TestClient) -> None:
    labels, templates = ["cat", "one two three four five six"], ["{}", "a photo of a {}."]
    body = problem(ask(client, [png()], labels=labels, template=templates), 422, "text_too_long")
    assert (body["text"], body["tokens"], body["max_tokens"]) == (f"a photo of a {labels[1]}.", 13, 12)
    body = problem(ask(client, [png()], labels=["#233; x", "eacute; x"], template=["{}", "&{}"]), 422, "labels_alike")
    assert body["prompts"] == ["&#233; x", "&eacute; x"]


def test_the_number_of_templates_is_a_setting_that_is_no_limit_to_adapters_there_are(
    site: Site, client: TestClient
) -> None:
    site.new_adapter(client, template=ENSEMBLE)
    narrow = site.with_limits(max_templates=2)
    other = narrow.client(str(client.headers["authorization"]).removeprefix("Bearer "))
    assert "give 1 to 2 (max_templates), got 3" in problem(
        ask(other, [png()], labels=LABELS, template=ENSEMBLE), 422, "invalid_config"
    )["detail"]  # fmt: skip
    ok(ask(other, [png()], labels=LABELS, template=ENSEMBLE[:2]))
    ok(ask(other, [png()], adapter="icons"))


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b'{"images": "x"}', b'{"images": []}', b"\xff", b"[" * 5000]
)
def test_a_body_that_is_no_question(client: TestClient, content: bytes) -> None:
    answer = client.post("/classify", content=content, headers={"content-type": "application/json"})
    problem(answer, 422, "invalid_request")


def test_no_images_or_too_many(site: Site) -> None:
    client = site.with_limits(max_classify_images=2).new_tenant()
    assert "max_classify_images" in problem(ask(client, [png()] * 3, labels=LABELS), 422, "invalid_input")["detail"]
    assert "max_classify_images" in problem(send(client, [png()] * 3, labels=LABELS), 422, "invalid_input")["detail"]
    form = {"labels": (None, "cat")}
    problem(client.post("/classify", files=form), 422, "invalid_input")


def test_an_unknown_adapter_is_never_answered_by_the_base(client: TestClient) -> None:
    for name in ("ad_" + "0" * 32, "unknown", "", "BASE"):
        problem(ask(client, [png()], adapter=name, labels=LABELS), 404, "not_found")


def test_an_adapter_of_another_base_is_a_conflict_naming_both(site: Site, client: TestClient) -> None:
    adapter = site.new_adapter(client)
    with site.services.sessions.begin() as session:
        session.get_one(Adapter, adapter["id"]).base_fingerprint = "f" * 64
    body = problem(ask(client, [png()], adapter="icons"), 409, "base_mismatch")
    assert "f" * 12 in body["detail"]
    assert site.services.engine.base.fingerprint[:12] in body["detail"]


def test_an_imported_adapter_answers(site: Site, client: TestClient) -> None:
    files = {"file": ("mine.saft", container(site.services.engine.base))}
    made = ok(client.post("/adapters/import", files=files), 201)
    answer = ok(ask(client, [png()], adapter="mine"))
    assert plain(answer["results"]) == close(expected(site, made["id"], [png()], ["cat", "dog"], TEMPLATE))


def test_a_transparent_and_a_turned_picture_are_taken(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), (255, 0, 0, 10)).save(file, "PNG")
    ok(ask(client, [file.getvalue()], labels=LABELS))


UNKNOWN = {"slope": 5.0, "intercept": -1.0, "threshold": 0.4, "auroc": 0.9}


def calibrated(
    site: Site, client: TestClient, config: Mapping[str, Any] = MappingProxyType({}), **calibration: Any
) -> dict[str, Any]:
    adapter = site.new_adapter(client, values=0.02, **config)
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).where(Adapter.id == adapter["id"]).values(calibration=calibration))
    return dict(adapter)


def test_the_score_is_the_cosine_of_the_best_label_whatever_the_others_are(client: TestClient) -> None:
    both = ok(ask(client, [png(1)], labels=["cat", "dog"]))["results"][0]
    alone = ok(ask(client, [png(1)], labels=[both["predictions"][0]["label"]]))["results"][0]
    assert alone["predictions"][0]["probability"] == 1
    assert alone["score"] == pytest.approx(both["score"], abs=1e-6)
    assert -1 <= both["score"] <= 1
    assert both["unknown"] is None


def test_an_adapter_that_is_calibrated_says_how_likely_it_is_none_of_its_classes(
    site: Site, client: TestClient
) -> None:
    adapter = calibrated(site, client, temperature=1.0, unknown=UNKNOWN)
    answer = ok(ask(client, [png(1), png(2)], adapter="icons"))
    assert answer["unknown_threshold"] == UNKNOWN["threshold"]
    engine, labels = site.services.engine, tuple(adapter["classes"])
    images = [decode_image(png(seed), site.services.data_limits) for seed in (1, 2)]
    told = engine.classify(adapter["id"], images, labels, TEMPLATE)
    expected = site.services.unknown_detector.probability(Unknown(**UNKNOWN), told, labels, TEMPLATE)
    assert [result["unknown"] for result in answer["results"]] == pytest.approx(expected.tolist(), abs=1e-6)
    own = {"labels": adapter["classes"], "template": adapter["template"]}
    assert ok(ask(client, [png(1)], adapter="icons", **own))["results"][0]["unknown"] is not None


def test_an_adapter_of_several_templates_is_calibrated_for_all_of_them(site: Site, client: TestClient) -> None:
    adapter = calibrated(site, client, {"template": ENSEMBLE}, temperature=1.0, unknown=UNKNOWN)
    own = {"adapter": "icons", "labels": adapter["classes"]}
    for template, known in ((ENSEMBLE, True), (ENSEMBLE[:2], False), (ENSEMBLE[0], False)):
        result = ok(ask(client, [png(1)], **own, template=template))["results"][0]
        assert (result["unknown"] is not None) == known
    assert ok(ask(client, [png(1)], adapter="icons"))["results"][0]["unknown"] is not None


@pytest.mark.parametrize(
    "other",
    [
        {"labels": ["a", "b"]},
        {"template": "a drawing of a {}."},
        {"template": [TEMPLATE, "a drawing of a {}."]},
        {"strength": 0.5},
    ],
)
def test_asked_otherwise_than_it_was_measured_it_does_not_say(
    site: Site, client: TestClient, other: dict[str, Any]
) -> None:
    adapter = calibrated(site, client, temperature=0.5, unknown=UNKNOWN)
    result = ok(ask(client, [png(1)], adapter="icons", **other))["results"][0]
    assert result["unknown"] is None
    asked = {"labels": adapter["classes"], "template": adapter["template"], "strength": 1.0} | other
    image = decode_image(png(1), site.services.data_limits)
    row = site.services.engine.classify(
        adapter["id"], [image], tuple(asked["labels"]), as_template(asked["template"]), strength=asked["strength"]
    ).probabilities
    assert sorted(p["probability"] for p in result["predictions"]) == pytest.approx(sorted(row[0].tolist()), abs=1e-6)


def test_a_temperature_sharpens_and_keeps_the_order(site: Site, client: TestClient) -> None:
    calibrated(site, client)
    plainly = ok(ask(client, [png(1)], adapter="icons"))["results"][0]["predictions"]
    with site.services.sessions.begin() as session:
        session.execute(update(Adapter).values(calibration={"temperature": 0.25}))
    sharper = ok(ask(client, [png(1)], adapter="icons"))["results"][0]["predictions"]
    assert [one["label"] for one in sharper] == [one["label"] for one in plainly]
    odds = np.log([one["probability"] for one in plainly])
    wanted = np.exp(4 * odds) / np.exp(4 * odds).sum()
    assert [one["probability"] for one in sharper] == pytest.approx(wanted.tolist(), abs=1e-5)


# --- on_error, scores, tables ----------------------------------------------------------------------------------------

MIXED = [png(1), b"text", png(2), b"", png(3)[:-200], png(4)]
CODES = [None, "not_an_image", None, "empty_file", "damaged_image", None]


@pytest.mark.parametrize("batch", [1, 2, 64])
def test_an_image_that_cannot_be_read_leaves_its_neighbours_as_they_are(
    client: TestClient, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    good = [image for image, code in zip(MIXED, CODES, strict=True) if code is None]
    alone = ok(ask(client, good, labels=LABELS))["results"]
    monkeypatch.setattr(module, "IMAGES_PER_BATCH", batch)
    for put in (ask, send):
        results = ok(put(client, MIXED, labels=LABELS, on_error="skip"))["results"]
        assert [result["error"] and result["error"]["code"] for result in results] == CODES
        told = [result for result in results if result["error"] is None]
        assert plain(told) == close(alone)
        for result in results:
            if result["error"]:
                assert (result["predictions"], result["score"], result["unknown"]) == ([], None, None)
    assert ok(ask(client, MIXED, labels=LABELS, on_error="skip"))["results"][1]["error"]["detail"].startswith(
        "images[1]:"
    )


def test_only_the_images_that_were_read_are_counted(site: Site, client: TestClient) -> None:
    def counted() -> float:
        return site.services.metrics.registry.get_sample_value("saft_images_classified_total") or 0

    before = counted()
    ok(ask(client, MIXED, labels=LABELS, on_error="skip"))
    assert counted() - before == 3


def test_what_is_not_about_one_image_fails_the_request_all_the_same(site: Site, client: TestClient) -> None:
    for images in (MIXED, [b"text"]):
        problem(ask(client, images, labels=["hot dog", "hot_dog"], on_error="skip"), 422, "labels_alike")
        problem(ask(client, images, adapter="unknown", labels=LABELS, on_error="skip"), 404, "not_found")
    narrow = site.with_limits(max_classify_images=2).new_tenant()
    problem(ask(narrow, [b"x"] * 3, labels=LABELS, on_error="skip"), 422, "invalid_input")
    skipped = client.post("/classify", json={"images": ["???"], "labels": LABELS, "on_error": "skip"})
    assert ok(skipped)["results"][0]["error"]["code"] == "not_base64"


def test_by_default_and_when_asked_to_an_image_fails_the_request(client: TestClient) -> None:
    for put in (ask, send):
        problem(put(client, MIXED, labels=LABELS), 422, "not_an_image")
        problem(put(client, MIXED, labels=LABELS, on_error="fail"), 422, "not_an_image")
        assert "on_error" in put(client, MIXED, labels=LABELS, on_error="ignore").json()["detail"]


def test_scores_may_be_asked_for_and_are_always_there(client: TestClient) -> None:
    plainly = ok(ask(client, [png()], labels=LABELS))
    assert ok(ask(client, [png()], labels=LABELS, scores=True)) == plainly
    assert ok(send(client, [png()], labels=LABELS, scores="true")) == plainly
    assert isinstance(plainly["results"][0]["score"], float)


def lines_of(answer: Any) -> list[dict[str, str]]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    return list(csv.DictReader(io.StringIO(answer.content.decode(), newline="")))


def test_a_table_says_what_json_says(client: TestClient) -> None:
    files = [("files", (name, image)) for name, image in (("=a.png", png(1)), ("b.png", b"text"), ("ä,c.png", png(2)))]
    form = {"labels": ["cat", "-dog", "owl"], "top_k": "2", "on_error": "skip"}
    known = ok(client.post("/classify", files=files, data=form))["results"]
    lines = lines_of(client.post("/classify", files=files, data=form, headers={"accept": "text/csv"}))
    assert [line["file"] for line in lines] == ["'=a.png", "b.png", "ä,c.png"]
    for line, result in zip(lines, known, strict=True):
        found = [(line[f"label{end}"].removeprefix("'"), line[f"probability{end}"]) for end in ("", "_2")]
        if result["error"]:
            assert found == [("", "")] * 2
            assert line["error"].startswith("not_an_image: b.png:")
        else:
            assert [label for label, _ in found] == [p["label"] for p in result["predictions"]]
            numbers = [p["probability"] for p in result["predictions"]]
            assert [float(number) for _, number in found] == pytest.approx(numbers, abs=1e-6)
            assert (line["error"], line["unknown"]) == ("", "")
            assert float(line["score"]) == pytest.approx(result["score"], abs=1e-6)


def test_a_table_of_json_images_numbers_them_and_its_errors_are_problems(client: TestClient) -> None:
    body = {"images": [b64(png(1)), b64(png(2))], "labels": LABELS, "top_k": 1}
    wish = {"accept": "text/csv;q=0.9, application/json;q=0.5"}
    lines = lines_of(client.post("/classify", json=body, headers=wish))
    assert [line["file"] for line in lines] == ["0", "1"]
    assert list(lines[0]) == ["file", "label", "probability", "score", "unknown", "error"]
    problem(client.post("/classify", json=body | {"images": ["??"]}, headers=wish), 422, "not_base64")
    ok(client.post("/classify", json=body, headers={"accept": "text/csv;q=0.1, */*"}))
    described = ok(client.get("/openapi.json"))["paths"]["/classify"]["post"]["responses"]["200"]["content"]
    assert set(described) == {"application/json", "text/csv"}
