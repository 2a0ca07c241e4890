"""Checkpoints as users bring them, of tiny models."""

from __future__ import annotations

import copy
import json
import logging
import warnings
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import nn

from tests.fixtures.models import TEXT, TOWERS

NAME = "tiny-of-the-tests"
"""An open_clip model name, known within the fixture `registered` (conftest.py)."""


def config(tower: str = "vit", **changes: Any) -> dict[str, Any]:
    """open_clip's `model_cfg`. A change is named as `vision_cfg__heads`, two underscores for a level."""
    made: dict[str, Any] = {"embed_dim": 16, "vision_cfg": dict(TOWERS[tower]), "text_cfg": dict(TEXT)}
    for name, value in changes.items():
        *path, last = name.split("__")
        place = made
        for part in path:
            place = place[part]
        place[last] = value
    return made


def clip(**settings: Any) -> CLIP:
    """A CLIP of `config`'s form with the same random weights each time."""
    torch.manual_seed(0)
    return CLIP(**copy.deepcopy(settings or config())).eval()


def write_folder(
    folder: Path,
    model_cfg: dict[str, Any],
    preprocess_cfg: dict[str, Any] | None = None,
    *,
    model: nn.Module | None = None,
    card: dict[str, Any] | None = None,
) -> str:
    """A folder with configuration, weights (of `model`) and card; returns what SAFT_BASE names it by."""
    folder.mkdir(exist_ok=True)
    save_file(dict((model or clip(**model_cfg)).state_dict()), folder / "open_clip_model.safetensors")
    content = {"model_cfg": model_cfg, "preprocess_cfg": preprocess_cfg or {}}
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    if card:
        (folder / "base.json").write_text(json.dumps(card))
    return str(folder)


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was logged as a warning."""
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def give_tags(monkeypatch: pytest.MonkeyPatch, *tags: dict[str, Any]) -> None:
    """Has open_clip know `tags` of the model `NAME`, each with OpenAI's preprocessing but for what it says."""
    known = {f"tag{number}": open_clip.pretrained._pcfg(hf_hub="none/such/", **tag) for number, tag in enumerate(tags)}
    monkeypatch.setitem(open_clip.pretrained._PRETRAINED, NAME, known)


def write_openai_archive(path: Path, model: CLIP, *, with_numbers: bool = True) -> None:
    """A TorchScript archive as OpenAI published: half precision, and three numbers beside the weights."""
    context, vocabulary = model.context_length, model.vocab_size
    mask = model._buffers.pop("attn_mask")  # OpenAI's is a constant of the code
    model.attn_mask = mask
    del model.context_length, model.vocab_size
    numbers = {"input_resolution": 32, "context_length": context, "vocab_size": vocabulary}
    for name, number in numbers.items() if with_numbers else ():
        model.register_buffer(name, torch.tensor(number))
    calls = {"encode_image": (torch.rand(1, 3, 32, 32),), "encode_text": (torch.zeros(1, context, dtype=torch.long),)}
    with warnings.catch_warnings():  # of a format on its way out: what was published in it is there to stay
        warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
        warnings.filterwarnings("ignore", category=torch.jit._trace.TracerWarning)
        torch.jit.trace_module(model, calls, check_trace=False).half().save(path)
