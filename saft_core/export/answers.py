"""What the service answers, from the folder of an open_clip export alone: `python answers.py picture.png`.

Every number is the service's within float32 rounding; see docs/export.md. The
folder holds this file, and beside it the two that it shares with the service.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image, ImageOps
from torch import Tensor, nn
from torch.nn import functional as F

from saft_core.clip import image_tower, prompts

WEIGHTS_FILE, LABELS_FILE, WORDS_FILE = "open_clip_model.safetensors", "labels.json", "words.npy"
DRAFT_FACTOR = 4
"""The service decodes a large JPEG no larger than it needs, which is so many times the model's side."""


class Exported:
    """The model of a folder, its classes and its calibration.

    about: the content of labels.json. class_embeddings: of unit length, (classes, embed_dim).

    Has torch use as many threads as the service does, for sums are rounded by how many there are.
    """

    def __init__(self, folder: Path) -> None:
        source = f"local-dir:{folder}"
        self.about: dict[str, Any] = json.loads((folder / LABELS_FILE).read_text("utf-8"))
        torch.set_num_threads(self.about["threads"])
        self.words = torch.from_numpy(np.load(folder / WORDS_FILE, allow_pickle=False))
        self.model, _, self.preprocess = open_clip.create_model_and_transforms(source)
        self.model.eval()
        _lay_out(self.model)
        self.tokenize = open_clip.get_tokenizer(source, **_vocabulary(folder))
        self.class_embeddings = self._embed_classes()
        self.logit_scale: Tensor = self.model.logit_scale.detach().exp().reshape(())

    def pixels(self, image: Image.Image) -> Tensor:
        """A picture as the model takes it, float32 (1, 3, size, size)."""
        side = DRAFT_FACTOR * max(self.about["preprocessing"]["size"])
        image.draft("RGB", (side, side))
        batch: Tensor = self.preprocess(ImageOps.exif_transpose(image).convert("RGB"))[None]
        return batch.contiguous(memory_format=image_tower.memory_format(self.model))

    @torch.inference_mode()
    def embed(self, pixels: Tensor) -> Tensor:
        """Unit image embeddings (N, embed_dim)."""
        return image_tower.encode(self.model, pixels)

    @torch.inference_mode()
    def answer(self, embeddings: Tensor) -> tuple[Tensor, Tensor | None]:
        """Of image embeddings the probabilities (N, classes), and that of none of the classes (N,), if calibrated."""
        weights = self.logit_scale * self.class_embeddings
        logits = embeddings @ weights.T
        temperature, unknown = self.about["temperature"], self.about["unknown"]
        probabilities = (logits if temperature == 1 else logits / temperature).softmax(dim=1)
        if unknown is None:
            return probabilities, None
        highest = (logits / weights.norm(dim=1)).amax(dim=1)
        return probabilities, strange(unknown, highest, embeddings, self.words)

    @torch.inference_mode()
    def _embed_classes(self) -> Tensor:
        """The mean over the templates, normalised again; of one template, what the text tower gives."""
        texts = [prompt for of_one in self.about["prompts"] for prompt in of_one]
        count = self.about["texts_per_pass"]
        embeddings = torch.cat([self._embed_texts(texts[n : n + count]) for n in range(0, len(texts), count)])
        templates = len(self.about["templates"])
        if templates == 1:
            return embeddings
        return F.normalize(embeddings.unflatten(0, (templates, -1)).mean(dim=0), dim=-1)

    def _embed_texts(self, texts: Sequence[str]) -> Tensor:
        return prompts.encode(self.model, prompts.cut(self.model, self.tokenize(list(texts))))


def strange(unknown: dict[str, float], highest: Tensor, embeddings: Tensor, words: Tensor) -> Tensor:
    """That each picture shows none of the classes, (N,).

    By how much it is closer to some class (`highest`, its largest cosine) than, by half, to the closest of the words
    for other things: one minus the logistic function of that margin.
    """
    margin = highest
    if len(words):
        margin = highest - unknown["words_count"] * (embeddings @ words.T).amax(dim=1)
    return torch.sigmoid(-(unknown["slope"] * margin + unknown["intercept"]).clamp(-60, 60))


def _lay_out(model: nn.Module) -> None:
    """Have the parameters lie as in the service, one behind the other: sums are rounded by where in memory they lie."""
    parameters = list(model.parameters())
    flat = torch.cat([parameter.detach().reshape(-1) for parameter in parameters])
    for parameter, part in zip(parameters, flat.split([p.numel() for p in parameters]), strict=True):
        parameter.data = part.view(parameter.shape)


def _vocabulary(folder: Path) -> dict[str, str]:
    """Where the folder's own vocabulary lies, if it has one: open_clip would look for it in the current folder."""
    config = json.loads((folder / "open_clip_config.json").read_text("utf-8"))
    named = config["model_cfg"]["text_cfg"].get("tokenizer_kwargs", {}).get("bpe_path")
    return {"bpe_path": str(folder / named)} if named else {}


def main() -> None:
    """Print what each of the pictures shows."""
    exported = Exported(Path(__file__).parent)
    for path in sys.argv[1:]:
        with Image.open(path) as image:
            probabilities, unknown = exported.answer(exported.embed(exported.pixels(image)))
        best = int(probabilities[0].argmax())
        none = "" if unknown is None else f", none of the classes {float(unknown[0]):.3f}"
        print(f"{path}: {exported.about['classes'][best]} {float(probabilities[0, best]):.3f}{none}")  # noqa: T201


if __name__ == "__main__":
    main()
