from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tools.pretrain.stages import KEEP_EVERY, Checkpoint, kept, save


def test_what_was_made_is_read_and_not_made_again(tmp_path: Path) -> None:
    path = tmp_path / "new" / "stage.pt"
    made: dict[str, Any] = kept(path, lambda: {"places": torch.arange(3), "name": "a"})
    assert made["name"] == "a"
    again: dict[str, Any] = kept(path, lambda: pytest.fail("it is there already"))
    assert torch.equal(again["places"], made["places"])


def test_a_file_that_cannot_be_written_whole_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "stage.pt"
    save(path, {"step": 1})
    with pytest.raises((AttributeError, TypeError, RuntimeError)):
        save(path, {"step": lambda: None})
    assert torch.load(path, weights_only=True) == {"step": 1}


def test_a_training_resumes_from_its_latest_checkpoint(tmp_path: Path) -> None:
    model, path = nn.Linear(2, 2), tmp_path / "training.pt"
    checkpoint = Checkpoint(path, model=model)
    assert checkpoint.resume() == 0
    checkpoint.after(KEEP_EVERY - 2)
    assert not path.exists()
    checkpoint.after(KEEP_EVERY - 1)
    other = nn.Linear(2, 2)
    assert Checkpoint(path, model=other).resume() == KEEP_EVERY
    assert torch.equal(other.weight, model.weight)
