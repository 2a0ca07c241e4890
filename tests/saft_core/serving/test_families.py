"""The table of families in docs/serving.md, against what is so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from saft_core.serving.encoder import IMAGE, TEXT
from saft_core.serving.forward import KINDS, Forward
from saft_core.serving.tower_graph import TowerGraph
from saft_core.serving.trials import changed_row, inputs_of
from saft_core.sparse.batch_delta import BatchDelta, Row
from tests.fixtures.batches import MIXED_IS_FREE, batch
from tests.fixtures.device import on_cpu
from tests.fixtures.families import FAMILIES, Family, make

pytestmark = pytest.mark.gpu

PAGE = Path(__file__).parents[3] / "docs" / "serving.md"
HEAD = "| family | images | texts |"


def table() -> dict[str, str]:
    """Each family's line, by its title."""
    lines = PAGE.read_text("utf-8").split(HEAD)[1].split("\n\n")[0].splitlines()[2:]
    return {line.split("|")[1].strip(): line for line in lines}


def line_of(family: Family, forward: Forward) -> str:
    answers = [forward.refusal(kind) for kind in (IMAGE, TEXT)]
    cells = ["mixed" if reason is None else f"swapped: {reason}" for reason in answers]
    return f"| {family.title} | {' | '.join(cells)} |"


def test_the_table_lists_the_families_that_are_tried() -> None:
    assert list(table()) == [family.title for family in FAMILIES]


@pytest.mark.parametrize(
    "family",
    [pytest.param(family, id=family.title, marks=[pytest.mark.hf] if family.text_tower else []) for family in FAMILIES],
)
def test_a_family_is_mixed_where_the_table_says_so_and_answers_as_the_plain_model_does(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make(family, monkeypatch)
    forward, before = Forward(base, MIXED_IS_FREE), base.flat.sha256()
    assert line_of(family, forward) == table()[family.title]
    for kind in KINDS:
        ways = (False, True) if on_cpu() else (True,)  # by the loops, and as on a GPU
        for gather in ways if forward.mixes(kind) else ():
            monkeypatch.setattr("saft_core.serving.encoder.BatchDelta", partial(BatchDelta, gather=gather))
            check_against_the_plain_model(forward, kind)
    assert base.flat.sha256() == before


@pytest.mark.cpu
@pytest.mark.parametrize(
    "family", [pytest.param(family, id=family.title) for family in FAMILIES if not family.text_tower]
)
def test_the_image_tower_of_a_family_is_compiled_and_answers_as_the_plain_model_does(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = make(family, monkeypatch)
    graph, row = TowerGraph(base, 1), changed_row(base, 0)
    pixels = inputs_of(base, IMAGE, 3)
    assert row.delta is not None
    with torch.inference_mode():
        torch.testing.assert_close(graph.compile(Row(None))(pixels), base.encode_pixels(pixels), atol=1e-5, rtol=0)
        with base.flat.added(row.delta.positions.long(), row.delta.values):
            wanted = base.encode_pixels(pixels)
        torch.testing.assert_close(graph.compile(row)(pixels[:2]), wanted[:2], atol=1e-5, rtol=0)


def check_against_the_plain_model(forward: Forward, kind: str) -> None:
    base, parts = forward.base, batch(forward.base, kind)
    mixed = torch.cat(forward.run(kind, parts))
    assert forward.rows_by_route["mixed"] >= len(parts)
    encode = base.encode_pixels if kind == IMAGE else base.encode_texts
    plain = []
    for part in parts:
        with torch.inference_mode():
            if (delta := part.row.delta) is None:
                plain.append(encode(part.inputs))
                continue
            with base.flat.added(delta.positions.long(), delta.scaled(part.row.strength)):
                plain.append(encode(part.inputs))
    torch.testing.assert_close(mixed, torch.cat(plain), atol=1e-5, rtol=0)
    assert len(torch.unique(torch.cat(plain), dim=0)) == len(parts)  # adapters, strengths and inputs all show
