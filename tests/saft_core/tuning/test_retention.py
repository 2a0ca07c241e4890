from __future__ import annotations

import pytest
import torch

from saft_core.clip.loading import load_base
from saft_core.data.probe_set import load_probe
from saft_core.tuning.predictions import EncodedImages, text_embeddings
from saft_core.tuning.retention import ProbeEmbeddings, encode_probe, retention_metrics, unknown_samples
from tests.fixtures.tasks import loader, silent_meter


def test_the_embedded_base_recognises_more_than_half_of_it() -> None:
    base, probe = load_base(""), load_probe()
    images = EncodedImages(base, loader(base, list(probe.samples)), 32, silent_meter())
    seen = encode_probe(base, probe, images, base.defaults.template)
    assert seen.right(torch.from_numpy(probe.targets)).float().mean() > 0.5
    same = retention_metrics(torch.from_numpy(probe.targets), seen, seen)
    assert same["kept"] == 1
    assert same["probe"]["image_cosine"] == pytest.approx(1, abs=1e-5)


def test_kept_is_the_share_of_what_was_recognised() -> None:
    texts = torch.eye(4)
    before = ProbeEmbeddings(texts[[0, 1, 2, 0]], texts)
    after = ProbeEmbeddings(texts[[0, 1, 0, 3]], texts)
    found = retention_metrics(torch.arange(4), before, after)
    assert found["kept"] == pytest.approx(2 / 3)
    assert found["probe"]["zero_shot_accuracy"] == found["probe"]["accuracy"] == 0.75
    assert found["probe"]["image_cosine"] == 0.5
    nothing = ProbeEmbeddings(texts[[1, 0, 0, 0]], texts)
    assert retention_metrics(torch.arange(4), nothing, after)["kept"] is None


def test_what_a_label_may_well_mean_is_no_stranger() -> None:
    base, probe = load_base(""), load_probe()

    def out(*labels: str) -> set[str]:
        named = text_embeddings(base, labels, base.defaults.template).numpy()
        far = unknown_samples(base, probe, named, base.defaults.template).tolist()
        return {probe.concepts[sample.label] for sample, one in zip(probe.samples, far, strict=True) if not one}

    assert out("cat", "dog") == set()
    assert out("guitar", "elephant") >= {"guitar", "elephant"}
    assert {"trumpet", "violin"} <= out("musical instrument") < set(probe.concepts)
