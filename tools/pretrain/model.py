"""The model: an ordinary open_clip CLIP, only small."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

from open_clip.model import CLIP
from open_clip.tokenizer import SimpleTokenizer, default_bpe

from tools.pretrain.trunk import MEAN, NAME, STD

IMAGE_SIZE, WIDTH = 160, 384
CONTEXT_LENGTH, TEXT_WIDTH, TEXT_HEADS = 32, 512, 8
MERGES = 16_000
"""Of CLIP's 48,894 merges of letters into words, the most frequent: each costs a row of the embedding."""

MERGES_FILE = "merges.txt.gz"
MODEL_CFG: dict[str, Any] = {
    "embed_dim": WIDTH,
    "vision_cfg": {
        "image_size": IMAGE_SIZE,
        "timm_model_name": NAME,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_proj_bias": True,
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": 2 * 256 + MERGES + 2,
        "width": TEXT_WIDTH,
        "heads": TEXT_HEADS,
        "layers": 1,
        "mlp_ratio": 2.0,
        "tokenizer_kwargs": {"bpe_path": MERGES_FILE},
    },
}
PREPROCESS_CFG: dict[str, Any] = {
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def build_model() -> CLIP:
    """A fresh model of the shipped configuration."""
    return CLIP(**MODEL_CFG)


def write_merges(path: Path) -> None:
    """The first MERGES of CLIP's merges behind its header line, byte for byte the same at every run."""
    with gzip.open(default_bpe(), "rt", encoding="utf-8") as file:
        lines = file.read().split("\n")[: MERGES + 1]
    path.write_bytes(gzip.compress("\n".join(lines).encode(), mtime=0))


def tokenizer(merges: Path) -> SimpleTokenizer:
    """The tokenizer of the shipped vocabulary."""
    return SimpleTokenizer(bpe_path=str(merges), context_length=CONTEXT_LENGTH)
