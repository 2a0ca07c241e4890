"""Where words come to lie."""

from __future__ import annotations

from pathlib import Path

import torch
from torch.nn import functional as F
from torch.testing import assert_close

from tools.pretrain.meanings import known_synsets, ridge
from tools.pretrain.wordnet import WordNet

DATA = """  1 a licence, which is indented
00000001 03 n 01 thing 0 000 | what there is
00000002 05 n 02 animal 0 beast 0 001 @ 00000001 n 0000 | a living thing; "animals move"
00000003 05 n 02 domestic_cat 0 cat 0 001 @ 00000002 n 0000 | it purrs
00000004 05 n 01 dog 0 001 @ 00000002 n 0000 | it barks
00000005 06 n 01 hammer 0 001 @ 00000001 n 0000 | it hits
00000006 18 n 01 Felix 0 001 @i 00000003 n 0000 | one cat
"""
INDEX = """  1 a licence, which is indented
cat n 2 1 @ 2 1 00000003 00000005
domestic_cat n 1 1 @ 1 0 00000003
dog n 1 1 @ 1 1 00000004
felix n 1 1 @i 1 0 00000006
"""


def wordnet(folder: Path) -> WordNet:
    (folder / "data.noun").write_text(DATA)
    (folder / "index.noun").write_text(INDEX)
    return WordNet(folder)


def test_wordnet_is_read(tmp_path: Path) -> None:
    read = wordnet(tmp_path)
    assert read.first_sense["cat"] == "00000003"
    assert read.ancestors("00000003") == {"00000003", "00000002", "00000001"}
    assert dict(read.nouns()) == {"cat": "00000003", "domestic cat": "00000003", "dog": "00000004"}
    assert read.describe("00000003") == "domestic cat, cat, a kind of animal: it purrs"


def test_a_kind_lies_at_the_mean_of_its_classes(tmp_path: Path) -> None:
    prototypes = torch.eye(3)
    known = known_synsets(wordnet(tmp_path), ["00000003", "00000004", "00000005"], prototypes)
    animal = known.places[known.row["00000002"]]
    assert_close(animal, F.normalize(torch.tensor([1.0, 1.0, 0.0]), dim=0))
    assert_close(known.places[known.row["00000001"]], F.normalize(torch.ones(3), dim=0))


def test_ridge_regression_is_the_closed_form() -> None:
    inputs, targets, more = torch.randn(30, 5), torch.randn(30, 2), torch.randn(4, 5)
    centred = inputs - inputs.mean(0)
    weights = torch.linalg.inv(centred.T @ centred + 0.5 * torch.eye(5)) @ centred.T @ targets
    assert_close(ridge(inputs, targets, 0.5)(more), (more - inputs.mean(0)) @ weights, atol=1e-4, rtol=1e-3)
