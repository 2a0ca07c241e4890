"""The sentence encoder, with a tiny model of random weights in the place of the downloaded one."""

from __future__ import annotations

import importlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from tools.pretrain.teacher import FOLDER, Teacher

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "tabby", "cat", "purrs", "hammer")
TEXTS = ("cat", "a tabby cat purrs", "hammer")


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    transformers = importlib.import_module("transformers")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    folder = tmp_path / "packages" / FOLDER
    transformers.BertModel(transformers.BertConfig(vocab_size=len(WORDS), **sizes)).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS), "utf-8")
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    return tmp_path / "packages"


@pytest.mark.hf
def test_embeddings_are_unit_means_over_the_tokens_whatever_else_is_embedded(packages: Path, tmp_path: Path) -> None:
    teacher = Teacher(packages, tmp_path / "cache")
    together = teacher.embed(TEXTS)
    assert together.shape == (3, 16)
    assert_close(together.norm(dim=1), torch.ones(3))
    alone = torch.cat([teacher.embed([text]) for text in TEXTS])
    assert_close(together, alone, atol=1e-5, rtol=1e-4)
    assert (together[0] @ together[2]) < 0.999


@pytest.mark.hf
def test_what_was_embedded_is_read_from_the_cache(packages: Path, tmp_path: Path) -> None:
    first = Teacher(packages, tmp_path / "cache").embed(TEXTS)
    (kept,) = (tmp_path / "cache").iterdir()
    np.save(kept, first.numpy() + 1)
    assert torch.equal(Teacher(packages, tmp_path / "cache").embed(TEXTS), first + 1)
