from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from saft_core.clip.backbone import Base
from saft_core.clip.flat import FlatParameters
from saft_core.delta import SparseDelta
from saft_core.serving.costs import Costs, Group, cheapest_split
from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.forward import KINDS, Forward
from saft_core.serving.measured_costs import measure
from saft_core.sparse.batch_delta import BatchDelta, Row
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import load_delta
from saft_core.sparse.mixed_mode import MixedBatchMode
from tests.fixtures.batches import MIXED_IS_FREE, MIXED_NEVER_PAYS, batch, everywhere
from tests.fixtures.device import here
from tests.fixtures.models import pictures

pytestmark = pytest.mark.gpu

LOOPS = pytest.param(False, marks=pytest.mark.cpu, id="by the loops")
GATHER = [pytest.param(True, id="by torch's operators, as on a GPU"), LOOPS]


@pytest.mark.parametrize("gather", GATHER)
@pytest.mark.parametrize("kind", KINDS)
def test_a_mixed_batch_equals_each_row_alone_with_every_parameter_changed(
    tiny_base: Base, kind: str, gather: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("saft_core.serving.encoder.BatchDelta", partial(BatchDelta, gather=gather))
    before = tiny_base.flat.sha256()
    mixed, alone = Forward(tiny_base, MIXED_IS_FREE), Forward(tiny_base, MIXED_NEVER_PAYS)
    parts = batch(tiny_base, kind)
    together = torch.cat(mixed.run(kind, parts))
    one_by_one = torch.cat([alone.run(kind, [part])[0] for part in parts])
    assert mixed.rows_by_route["mixed"] == len(parts)
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=0)
    assert len(torch.unique(one_by_one, dim=0)) == len(parts)  # adapters, strengths and inputs all show
    alone.unmerge()
    assert tiny_base.flat.sha256() == before


def test_the_route_follows_the_measured_cost(tiny_vit: Base) -> None:
    swapping = Forward(tiny_vit, MIXED_NEVER_PAYS)
    swapping.run(IMAGE, batch(tiny_vit, IMAGE))
    assert dict(swapping.rows_by_route) == {"base": 1, "swap": 6, "mixed": 0, "compiled": 0}


@pytest.mark.parametrize("kind", KINDS)
def test_a_pass_of_its_own_writes_one_tower_and_answers_as_the_whole_adapter(tiny_base: Base, kind: str) -> None:
    delta, (part, *_) = everywhere(tiny_base, 0), batch(tiny_base, kind)
    forward = Forward(tiny_base)
    with torch.inference_mode(), tiny_base.flat.added(delta.positions.long(), delta.values):
        wanted = forward.encoder.plain(kind, part.inputs)
    torch.testing.assert_close(forward.run(kind, [part])[0], wanted, atol=1e-5, rtol=0)
    forward.unmerge()
    with torch.inference_mode():
        before = tiny_base.flat.buffer.clone()
        forward.merge(kind, part.row)
        changed = tiny_base.flat.slots_of(np.flatnonzero((tiny_base.flat.buffer != before).cpu().numpy()))
    assert set(changed.tolist()) == set(forward.encoder.slots[kind])


def test_the_base_holds_an_adapter_until_another_is_wanted_and_is_itself_again_after_that(tiny_vit: Base) -> None:
    forward, before = Forward(tiny_vit), tiny_vit.flat.sha256()
    rows = [Row(everywhere(tiny_vit, 0)), Row(everywhere(tiny_vit, 0)), Row(everywhere(tiny_vit, 1))]
    rows += [Row(rows[0].delta, 0.5)]
    wanted = [(kind, row) for row in rows for kind in KINDS]
    hashes = []
    for kind, row in wanted:
        forward.merge(kind, row)
        hashes.append(tiny_vit.flat.sha256())
        forward.merge(kind, row)
        assert tiny_vit.flat.sha256() == hashes[-1]
        assert forward.merged == (kind, row)
    assert hashes[:2] == hashes[2:4]
    assert len({*hashes, before}) == len(wanted) - 2 + 1
    forward.merge(IMAGE, Row(None))
    assert tiny_vit.flat.sha256() == before
    forward.merge(*wanted[0])
    forward.unmerge()
    assert tiny_vit.flat.sha256() == before


def test_a_mixed_batch_and_the_base_find_the_bases_own_weights(tiny_vit: Base) -> None:
    forward, parts = Forward(tiny_vit, MIXED_IS_FREE), batch(tiny_vit, IMAGE)
    clean = [rows.clone() for rows in forward.run(IMAGE, parts)]
    assert forward.rows_by_route["mixed"] == len(parts)
    forward.merge(IMAGE, parts[0].row)
    again = forward.run(IMAGE, parts)
    assert all(map(torch.equal, clean, again))
    forward.merge(IMAGE, parts[0].row)
    torch.testing.assert_close(forward.run(IMAGE, parts[1:2])[0], clean[1], atol=1e-5, rtol=0)


def test_the_largest_groups_get_a_pass_of_their_own_when_that_pays() -> None:
    costs = Costs(forward=((1, 1.0), (32, 32.0)), mixed_entry_seconds=1.0, mixed_seconds=0.5)
    groups = [("big", Group(20, 1)), ("a", Group(1, 0)), ("b", Group(1, 0))]
    assert cheapest_split(groups, costs) == (["big", "a", "b"], [])
    per_pass = Costs(forward=((1, 10.0), (32, 41.0)), mixed_entry_seconds=1.0, mixed_seconds=0.5)
    assert cheapest_split(groups, per_pass) == (["big"], ["a", "b"])
    assert cheapest_split(groups[:1], per_pass) == (["big"], [])


def test_the_operators_of_a_gpu_do_not_grow_with_the_number_of_adapters(tiny_vit: Base) -> None:
    def operations(adapters: int) -> int:
        deltas = [everywhere(tiny_vit, seed) for seed in range(adapters)]
        rows = [Row(deltas[number % adapters]) for number in range(8)]
        pixels = tiny_vit.pixels(pictures(8))
        forward = Forward(tiny_vit)
        mixed = MixedBatchMode(
            tiny_vit.flat, BatchDelta(tiny_vit.flat, forward.encoder.slots[IMAGE], rows, gather=True)
        )
        with torch.inference_mode(), torch.profiler.profile(acc_events=True) as profile, mixed:
            tiny_vit.encode_pixels(pixels)
        return sum(event.count for event in profile.key_averages() if event.key.startswith("aten::"))

    assert operations(2) == operations(8)


def test_a_weight_from_elsewhere_may_have_a_bias_of_the_base(tiny_vit: Base) -> None:
    number = next(n for n, slot in enumerate(tiny_vit.flat.slots) if slot.name == "visual.ln_post.bias")
    slot, adapter = tiny_vit.flat.slots[number], everywhere(tiny_vit, 0)
    bias = tiny_vit.flat.parameter(slot)
    x, weight = torch.randn(2, 3, 5).to(here()), torch.randn(slot.size, 5).to(here())
    with torch.inference_mode():
        plain = torch.nn.functional.linear(x, weight, bias)
        with MixedBatchMode(tiny_vit.flat, BatchDelta(tiny_vit.flat, [number], [Row(adapter), Row(None)])):
            mixed = torch.nn.functional.linear(x, weight, bias)
    own = torch.zeros(len(tiny_vit.flat), device=here()).index_add(0, adapter.positions.long(), adapter.values)
    wanted = (
        plain
        + torch.stack([own[slot.offset : slot.offset + slot.size], torch.zeros(slot.size, device=here())])[:, None]
    )
    assert not torch.equal(wanted, plain)
    torch.testing.assert_close(mixed, wanted)


@pytest.mark.parametrize("gather", GATHER)
@pytest.mark.parametrize("other_width", [None, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_attention_to_other_tokens(gather: bool, other_width: int | None, bias: bool) -> None:
    """With one packed weight, or three weights and one bias, as a pooling layer over another tower's width has them."""
    attention = (
        nn.MultiheadAttention(8, 2, bias=bias, kdim=other_width, vdim=other_width, batch_first=True).eval().to(here())
    )
    flat = FlatParameters(attention)
    picks = [np.arange(first, len(flat), 3) for first in (0, 1)]
    adapters = [load_delta(SparseDelta(pick, np.full(len(pick), 0.1, np.float32)), flat) for pick in picks]
    queries, others = torch.randn(2, 1, 8).to(here()), torch.randn(2, 5, other_width or 8).to(here())
    plan = BatchDelta(flat, range(len(flat.slots)), [Row(delta) for delta in adapters], gather=gather)
    with torch.inference_mode():
        with MixedBatchMode(flat, plan):
            mixed = attention(queries, others, others, need_weights=False)[0]
        for row, delta in enumerate(adapters):
            one = slice(row, row + 1)
            with flat.added(delta.positions.long(), delta.values):
                alone = attention(queries[one], others[one], others[one], need_weights=False)[0]
            torch.testing.assert_close(mixed[one], alone, atol=1e-6, rtol=0)


def _attend(queries: Tensor, others: Tensor) -> object:
    width = queries.shape[2]
    packed, out = torch.ones(3 * width, width, device=here()), torch.ones(width, width, device=here())
    return nn.functional.multi_head_attention_forward(
        queries, others, others, width, 1, packed, None, None, None, False, 0.0, out, None, training=False,
        need_weights=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "use",
    [
        lambda table: nn.functional.linear(table, torch.ones(3, table.shape[1], device=here())),
        lambda table: table @ torch.ones(table.shape[1], 3, device=here()),
        lambda table: nn.functional.batch_norm(table, *torch.ones(2, table.shape[1], device=here())),
        lambda table: _attend(table[None], torch.ones(5, *table.shape, device=here())),
        lambda table: _attend(torch.ones(5, *table.shape, device=here()), table[None]),
    ],
)
def test_a_parameter_of_as_many_rows_as_the_batch_is_not_taken_for_one(tiny_vit: Base, use: Any) -> None:
    slots = tiny_vit.flat.slots
    table = next(tiny_vit.flat.parameter(slot) for slot in slots if slot.name == "visual.positional_embedding")
    rows = [Row(everywhere(tiny_vit, 0))] * len(table)
    plan = BatchDelta(tiny_vit.flat, range(len(slots)), rows)
    with torch.inference_mode(), MixedBatchMode(tiny_vit.flat, plan), pytest.raises(Unsupported):
        use(table)


@pytest.mark.parametrize("use", [torch.abs, lambda scale: torch.sign(scale.exp())])
def test_a_use_that_is_not_known_is_refused_and_never_answered_by_the_base(tiny_vit: Base, use: object) -> None:
    slots = list(range(len(tiny_vit.flat.slots)))
    plan = BatchDelta(tiny_vit.flat, slots, [Row(everywhere(tiny_vit, 0)), Row(None)])
    with MixedBatchMode(tiny_vit.flat, plan), pytest.raises(Unsupported):
        use(tiny_vit.model.logit_scale)  # type: ignore[operator]


def test_why_a_base_is_not_mixed_is_said_once_and_names_the_function(
    tiny_vit: Base, caplog: pytest.LogCaptureFixture
) -> None:
    norm: Any = tiny_vit.model.visual.ln_pre  # type: ignore[union-attr]
    norm.register_forward_hook(lambda module, _, output: output * module.weight.abs())
    forward, alone = Forward(tiny_vit, MIXED_IS_FREE), Forward(tiny_vit, MIXED_NEVER_PAYS)
    parts = batch(tiny_vit, IMAGE)
    for _ in range(2):
        assert not forward.mixes(IMAGE)
        deque(measure(forward, IMAGE, 4), maxlen=0)
        answers = forward.run(IMAGE, parts)
    assert forward.mixes(TEXT)
    assert "abs: not known" in str(forward.refusal(IMAGE))
    assert [record.getMessage() for record in caplog.records] == [
        f"mixed image batches are off for base tiny-vit, adapters are swapped in: {forward.refusal(IMAGE)}"
    ]
    wanted = [alone.run(IMAGE, [part])[0] for part in parts]
    torch.testing.assert_close(torch.cat(answers), torch.cat(wanted), atol=1e-6, rtol=0)


def test_a_value_read_from_a_parameter_takes_the_swap_route(tiny_vit: Base) -> None:
    """After the start's comparison too: nothing but the refusal stands between a batch and the base's value."""
    forward, alone = Forward(tiny_vit, MIXED_IS_FREE), Forward(tiny_vit, MIXED_NEVER_PAYS)
    assert forward.mixes(IMAGE)
    norm: Any = tiny_vit.model.visual.ln_pre  # type: ignore[union-attr]
    norm.register_forward_hook(lambda module, _, output: output * module.weight[0].item())
    parts = batch(tiny_vit, IMAGE)
    answers = forward.run(IMAGE, parts)
    assert forward.rows_by_route["mixed"] == 0
    forward.unmerge()
    wanted = [alone.run(IMAGE, [part])[0] for part in parts]
    torch.testing.assert_close(torch.cat(answers), torch.cat(wanted), atol=1e-6, rtol=0)
