"""Writes the folder that the product ships: half-precision weights, the vocabulary, and what describes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from safetensors.torch import save_file
from torch import nn

from tools.pretrain.drawings import FROZEN_STAGES, Head
from tools.pretrain.model import MERGES_FILE, MODEL_CFG, PREPROCESS_CFG, write_merges

WEIGHTS_FILE = "open_clip_model.safetensors"
CONFIG_FILE = "open_clip_config.json"
BASE_FILE = "base.json"

BASE: dict[str, Any] = {
    "name": "saft-photo-160",
    "suits": "It knows photographs of everyday things, at 160 by 160 pixels, and drawings of them less well: animals,"
    " food, plants, vehicles, tools, furniture, instruments, buildings, scenes that have a name. It is not for people"
    " (who they are, what they do, what they feel), text in pictures, medical or satellite pictures, fine print and"
    " fine distinctions that ImageNet does not make, or anything where an error matters.",
    "defaults": {
        "density": 0.001,
        "learning_rate": 1e-3,
        "epochs": 20,
        "batch_size": 32,
        "template": "a photo of a {}.",
        "weight_decay": 0.1,
        "encoders": "text",
    },
}
"""The name of this base, what GET /base tells of it, and its fine-tuning defaults; the model card says how they were
chosen."""


def put_together(model: CLIP, trunk: nn.Module, head: Head) -> CLIP:
    """`model`, whose text tower is trained, with the image tower made of the trunk and its new head."""
    tower: Any = model.visual
    state = {name: value for name, value in trunk.state_dict().items() if not name.startswith("classifier.")}
    trained: tuple[tuple[str, Any], ...] = (
        (f"blocks.{FROZEN_STAGES}", head.stage),
        ("conv_head", head.conv_head),
        ("bn2", head.norm),
    )
    for prefix, part in trained:
        state |= {f"{prefix}.{name}": value for name, value in part.state_dict().items()}
    tower.trunk.load_state_dict(state)
    tower.head.proj.load_state_dict(head.proj.state_dict())
    return model.eval()


def export(model: CLIP, folder: Path) -> Path:
    """Write the folder; returns the weights' path. The weights are replaced whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    half = {name: t.half() if t.is_floating_point() else t for name, t in model.state_dict().items()}
    weights = folder / WEIGHTS_FILE
    partial = weights.with_suffix(".partial")
    save_file({name: tensor.contiguous() for name, tensor in half.items()}, partial, metadata={"format": "pt"})
    partial.replace(weights)
    write_merges(folder / MERGES_FILE)
    _write_json(folder / CONFIG_FILE, {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG})
    _write_json(folder / BASE_FILE, BASE)
    return weights


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
