from __future__ import annotations

import numpy as np
import pytest
import torch

from saft_core import quiet_openvino
from saft_core.clip.backbone import Base
from saft_core.delta import SparseDelta
from saft_core.serving.encoder import IMAGE
from saft_core.serving.tower_graph import ROWS, TowerGraph
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import load_delta, merged
from tests.fixtures.batches import everywhere
from tests.fixtures.models import TOWERS, make_base


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("strength", [1.0, 0.5])
def test_a_compiled_tower_answers_as_the_fine_tuned_model_and_leaves_the_base_alone(
    tower: str, strength: float
) -> None:
    base = make_base(tower)
    before, row = base.flat.sha256(), Row(everywhere(base, 0), strength)
    graph = TowerGraph(base, 1)
    compiled = graph.compile(row)
    pixels = inputs_of(base, IMAGE, ROWS + 3)
    for rows in (1, 2, ROWS, ROWS + 3):  # of several calls, and of other sizes than it was traced with
        assert row.delta is not None
        with torch.inference_mode(), merged(base.flat, row.delta.positions, row.delta.scaled(strength)):
            wanted = base.encode_pixels(pixels[:rows])
        torch.testing.assert_close(compiled(pixels[:rows]), wanted, atol=1e-5, rtol=0)
    assert base.flat.sha256() == before


def test_towers_of_one_graph_share_no_weights_that_differ(tiny_base: Base) -> None:
    graph, pixels = TowerGraph(tiny_base, 1), inputs_of(tiny_base, IMAGE, 2)
    rows = [Row(None), changed_row(tiny_base, 0), changed_row(tiny_base, 1)]
    towers = [graph.compile(row) for row in rows]
    answers = [tower(pixels) for tower in towers]
    with torch.inference_mode():
        torch.testing.assert_close(answers[0], tiny_base.encode_pixels(pixels), atol=1e-5, rtol=0)
    assert len({answer.numpy().tobytes() for answer in answers}) == 3
    for tower, answer in zip(towers, answers, strict=True):
        assert torch.equal(tower(pixels), answer)
    assert torch.equal(graph.compile(rows[1])(pixels), answers[1])


def test_answers_stay_when_the_tower_is_called_again(tiny_vit: Base) -> None:
    tower, pixels = TowerGraph(tiny_vit, 1).compile(Row(None)), inputs_of(tiny_vit, IMAGE, 4)
    first = tower(pixels[:2])
    kept = first.clone()
    tower(pixels[2:])
    assert torch.equal(first, kept)


def test_the_graph_has_weights_of_its_own(tiny_vit: Base) -> None:
    graph, pixels = TowerGraph(tiny_vit, 1), inputs_of(tiny_vit, IMAGE, 2)
    wanted = graph.compile(Row(None))(pixels)
    delta = everywhere(tiny_vit, 0)
    with merged(tiny_vit.flat, delta.positions, delta.values):
        assert torch.equal(graph.compile(Row(None))(pixels), wanted)


def test_a_delta_of_the_text_tower_changes_no_image(tiny_vit: Base) -> None:
    slot = next(slot for slot in tiny_vit.flat.slots if slot.name == "text_projection")
    entry = SparseDelta(np.array([slot.offset], np.int64), np.array([1.0], np.float32))
    graph, pixels = TowerGraph(tiny_vit, 1), inputs_of(tiny_vit, IMAGE, 2)
    row = Row(load_delta(entry, tiny_vit.flat))
    assert torch.equal(graph.compile(row)(pixels), graph.compile(Row(None))(pixels))
    assert graph.compiled_bytes(row) == graph.compiled_bytes(Row(None)) < graph.compiled_bytes(changed_row(tiny_vit, 0))


def test_bfloat16_is_computed_where_the_processor_has_it_and_refused_elsewhere(tiny_vit: Base) -> None:
    graph, pixels = TowerGraph(tiny_vit, 1), inputs_of(tiny_vit, IMAGE, 2)
    if "BF16" not in quiet_openvino.load().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        with pytest.raises(Unsupported, match="not in bfloat16"):
            graph.compile(Row(None), "bfloat16")
        return
    exact, rounded = graph.compile(Row(None))(pixels), graph.compile(Row(None), "bfloat16")(pixels)
    assert exact.dtype == rounded.dtype == torch.float32
    assert 1e-5 < float((exact - rounded).abs().max()) < 0.03


def test_a_base_of_half_precision_is_refused(tiny_vit: Base) -> None:
    half = Base(tiny_vit.model.half(), tiny_vit.preprocess, tiny_vit.tokenize, name="half")
    with pytest.raises(Unsupported, match="float32"):
        TowerGraph(half, 1)
