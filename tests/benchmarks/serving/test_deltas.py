from __future__ import annotations

from benchmarks.serving.deltas import DENSITY, container, random_delta
from saft_core.clip.backbone import Base
from saft_core.delta import decode


def test_a_container_holds_a_random_delta_of_the_papers_density(tiny_vit: Base) -> None:
    delta, header = decode(container(tiny_vit, 3), max_bytes=1 << 20)
    drawn = random_delta(tiny_vit, 3)
    assert delta.indices.tolist() == drawn.indices.tolist()
    assert len(delta) == round(tiny_vit.parameter_count * DENSITY) > 0
    assert header.base_fingerprint == tiny_vit.fingerprint
    assert random_delta(tiny_vit, 4).indices.tolist() != drawn.indices.tolist()
