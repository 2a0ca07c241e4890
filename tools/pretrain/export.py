"""Writes the folder that the product ships: half-precision weights and the two JSON files that describe them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from tools.pretrain.model import MODEL_CFG, PREPROCESS_CFG

WEIGHTS_FILE = "open_clip_model.safetensors"
CONFIG_FILE = "open_clip_config.json"
BASE_FILE = "base.json"

BASE: dict[str, Any] = {
    "name": "saft-icons-64",
    "defaults": {
        "density": 0.001,
        "learning_rate": 1e-4,
        "epochs": 20,
        "batch_size": 32,
        "template": "a kind of {}.",
        "weight_decay": 0.1,
        "encoders": "both",
    },
}
"""The name and the fine-tuning defaults of this base; the model card says how they were chosen."""


def export(checkpoint: Path, folder: Path) -> Path:
    """Writes weights, open_clip's configuration and our defaults; returns the weights' path."""
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)["model"]
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / WEIGHTS_FILE
    partial = weights.with_suffix(".partial")
    half = {name: (t.half() if t.is_floating_point() else t).contiguous() for name, t in state.items()}
    save_file(half, partial, metadata={"format": "pt"})
    partial.replace(weights)
    _write_json(folder / CONFIG_FILE, {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG})
    _write_json(folder / BASE_FILE, BASE)
    return weights


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
