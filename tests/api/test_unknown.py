from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial

import pytest
from fastapi.testclient import TestClient

from api.resolve import Model
from api.unknown import UnknownDetector
from saft_core.calibration import Calibration, FloatArray, Unknown, Words, fit_unknown_to_labels, margin
from saft_core.clip.words import words_of
from saft_core.clip.zero_shot import fill
from saft_core.data.images import decode_image
from saft_core.data.probe_set import Probe
from saft_core.data.samples import Sample
from saft_core.store import deltas
from saft_core.store.models import Adapter, AdapterDelta
from tests.api.test_classify import ask
from tests.fixtures.models import make_base
from tests.fixtures.rest import TEMPLATE, Site, ok, png
from tests.fixtures.tasks import LIMITS
from worker.class_embeddings import class_embeddings

CONCEPTS = ("anchor", "bell", "clock", "drum", "engine", "flag", "glove", "hammer", "island", "jug", "key", "lamp")
PROBE = Probe(CONCEPTS, tuple(Sample(place, f"{place}.png", partial(png, place)) for place in range(12)))
LABELS = ("cat", "dog")


@pytest.fixture
def strangers(site: Site) -> UnknownDetector:
    return UnknownDetector(site.services.engine, PROBE, site.services.data_limits)


@pytest.fixture
def probed(site: Site) -> TestClient:
    """Somebody who speaks for a tenant of a site with a probe set."""
    made = Site(replace(site.services, probe=PROBE, metrics=type(site.services.metrics)()))
    made.services.unknown_detector.warm_up()
    return made.new_tenant()


def embedded(site: Site, words: Sequence[str]) -> FloatArray:
    return site.services.engine.embed_texts(None, fill(TEMPLATE, words))


def words_by(site: Site) -> Words:
    return Words.of(embedded(site, words_of(site.services.engine.base)), 0.98)


def test_what_a_stranger_is_comes_of_the_probe_set_as_the_base_sees_it(site: Site, strangers: UnknownDetector) -> None:
    images = site.services.engine.embed_images(None, [decode_image(png(seed), LIMITS) for seed in range(12)])
    named, concepts = embedded(site, LABELS), embedded(site, CONCEPTS)
    expected = fit_unknown_to_labels(images, PROBE.targets, concepts, named, words_by(site))
    found = strangers.unknown(LABELS, TEMPLATE)
    assert expected is not None
    assert found is not None
    assert (found.slope, found.threshold) == pytest.approx((expected.slope, expected.threshold), rel=1e-2)


def test_a_stranger_is_told_by_its_margin_over_other_words(site: Site, strangers: UnknownDetector) -> None:
    words, named = words_by(site), embedded(site, LABELS)
    images = [decode_image(png(seed), LIMITS) for seed in range(3)]
    answers = site.services.engine.classify(None, images, LABELS, TEMPLATE)
    unknown = Unknown(10.0, -1.0, 0.5, 0.9)
    expected = margin((answers.embeddings @ named.T).max(axis=1), answers.embeddings, words, words.none_of(named))
    found = strangers.probability(unknown, answers, LABELS, TEMPLATE)
    assert found == pytest.approx(unknown.probability(expected), abs=1e-5)


def test_it_is_found_once(site: Site, strangers: UnknownDetector) -> None:
    strangers.unknown(LABELS, TEMPLATE)
    before = site.services.engine.counters()
    strangers.unknown(LABELS, TEMPLATE)
    assert site.services.engine.counters() == before


def test_it_is_told_by_all_templates_of_a_list(strangers: UnknownDetector) -> None:
    several = (TEMPLATE, "{}, drawn")
    assert strangers.unknown(LABELS, several) != strangers.unknown(LABELS, TEMPLATE)


def test_the_base_says_it_of_labels_that_are_given(probed: TestClient) -> None:
    answer = ok(ask(probed, [png(seed) for seed in range(3)], labels=list(LABELS)))
    results = answer["results"]
    assert 0 < answer["unknown_threshold"] < 1
    assert all(0 < result["unknown"] < 1 for result in results)


def test_an_adapters_own_classes_are_its_own_in_any_order(strangers: UnknownDetector) -> None:
    model = Model("ad", LABELS, TEMPLATE, 0.5, Calibration(2.0, Unknown(10.0, -1.0, 0.5, 0.9)))
    assert model.calibration_for(LABELS[::-1], TEMPLATE, 0.5, strangers) == model.calibration
    for labels, template, strength in ((LABELS[:1], TEMPLATE, 0.5), (LABELS, "{}", 0.5), (LABELS, TEMPLATE, 1.0)):
        found = model.calibration_for(labels, template, strength, strangers)
        assert (found.temperature, found.unknown) == (1.0, strangers.unknown(labels, template))


def test_where_nothing_was_held_out_the_probe_set_tells(strangers: UnknownDetector) -> None:
    model = Model("ad", LABELS, TEMPLATE, 1.0, Calibration(2.0))
    found = model.calibration_for(LABELS, TEMPLATE, 1.0, strangers)
    assert (found.temperature, found.unknown) == (2.0, strangers.unknown(LABELS, TEMPLATE))
    assert found.unknown is not None


def passed_rows(site: Site) -> int:
    """Images and texts that went through the base."""
    return sum(count for name, count in site.services.engine.counters().items() if name.startswith("rows_"))


@pytest.mark.parametrize("with_embeddings", [True, False])
def test_the_first_request_of_an_adapter_with_its_class_embeddings_runs_its_pictures_alone(
    site: Site, *, with_embeddings: bool
) -> None:
    probed = Site(replace(site.services, probe=PROBE, metrics=type(site.services.metrics)()))
    probed.services.unknown_detector.warm_up()
    client = probed.new_tenant()
    adapter_id = probed.new_adapter(client)["id"]
    calibration = Calibration(2.0, Unknown(10.0, -1.0, 0.5, 0.9)).as_metrics()
    with site.services.sessions.begin() as session:
        session.get_one(Adapter, adapter_id).calibration = calibration
        row = session.get_one(AdapterDelta, adapter_id)
        if with_embeddings:
            row.class_embeddings = class_embeddings(make_base("vit"), row.delta or b"", 1.0)
    before = passed_rows(site)
    answer = ok(ask(client, [png(seed) for seed in range(3)], adapter="icons"))
    assert 0 < answer["results"][0]["unknown"] < 1
    texts = 0 if with_embeddings else 2 * len(LABELS)  # by the adapter, and by the base
    assert passed_rows(site) - before == 3 + texts


def test_an_imported_adapter_brings_no_class_embeddings(site: Site, client: TestClient) -> None:
    trained_id = site.new_adapter(client)["id"]
    with site.services.sessions.begin() as session:
        row = session.get_one(AdapterDelta, trained_id)
        row.class_embeddings = class_embeddings(make_base("vit"), row.delta or b"", 1.0)
    file = client.get(f"/adapters/{trained_id}/delta").content
    made = ok(client.post("/adapters/import", files={"file": ("again.saft", file)}), 201)
    assert deltas.load(site.services.sessions, made["id"]) == (file, None)
