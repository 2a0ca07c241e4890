"""Measures the shipped file, loaded the way any user of open_clip would: zero-shot on samples, categories, concepts.

Run as `python -m tools.pretrain.evaluate`. The samples need nothing else; the other two tables need the icon packages.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from tools.pretrain.corpus import Gallery, load_gallery
from tools.pretrain.export import BASE_FILE
from tools.pretrain.render import on_white
from tools.pretrain.sources import HELD_OUT_SETS, Icon, held_out
from tools.pretrain.taxonomy import CATEGORIES, category_of

DEFAULT_FOLDER = Path("saft_core/clip/embedded")
DEFAULT_SAMPLES = Path("samples/icons")
NOISY_SUBGROUPS = frozenset({"country-flag", "subdivision-flag", "family", "alphanum", "time"})
"""Held-out concepts that nobody could name from other concepts: flags, families, Japanese buttons, clock hands."""


class Model:
    """The shipped folder behind two calls."""

    def __init__(self, folder: Path) -> None:
        name = f"local-dir:{folder.resolve()}"
        self._model, _, self._preprocess = open_clip.create_model_and_transforms(name)
        self._tokenizer = open_clip.get_tokenizer(name)
        self._model.eval()
        self.template = str(json.loads((folder / BASE_FILE).read_text())["defaults"]["template"])

    @torch.inference_mode()
    def texts(self, labels: Sequence[str]) -> Tensor:
        """Unit-length embeddings of the labels in the base's template."""
        prompts = [self.template.replace("{}", label) for label in labels]
        return F.normalize(self._model.encode_text(self._tokenizer(prompts)), dim=-1)

    @torch.inference_mode()
    def pictures(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Unit-length embeddings of pictures."""
        parts = [
            self._model.encode_image(torch.stack([self._preprocess(p) for p in pictures[i : i + 128]]))
            for i in range(0, len(pictures), 128)
        ]
        return F.normalize(torch.cat(parts), dim=-1)


def rank_accuracy(images: Tensor, texts: Tensor, target: Tensor, k: int = 1) -> float:
    """Share of images whose own text is among their k nearest."""
    nearest = (images @ texts.T).topk(k, dim=1).indices
    return (nearest == target[:, None]).any(dim=1).float().mean().item()


def sample_accuracy(model: Model, folder: Path) -> float:
    """Zero-shot top-1 over one part of the samples: a folder per class."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    files = [(label, path) for label, name in enumerate(classes) for path in sorted((folder / name).iterdir())]
    images = model.pictures([Image.open(path) for _, path in files])
    texts = model.texts([name.replace("_", " ") for name in classes])
    return rank_accuracy(images, texts, torch.tensor([label for label, _ in files]))


def category_accuracy(model: Model, gallery: Gallery) -> tuple[float, float, int]:
    """Top-1 over all category words, per picture and as a mean over categories, and how many categories."""
    names = list(CATEGORIES)
    rows, target = [], []
    for row, icon in enumerate(gallery.icons):
        category = category_of(icon.emoji) if icon.emoji else None
        if category is not None:
            rows.append(row)
            target.append(names.index(category))
    images = model.pictures([on_white(gallery.pixels[row]) for row in rows])
    texts = model.texts([CATEGORIES[name][0] for name in names])
    labels = torch.tensor(target)
    correct = ((images @ texts.T).argmax(dim=1) == labels).float()
    by_category = [correct[labels == label].mean() for label in labels.unique()]
    return correct.mean().item(), torch.stack(by_category).mean().item(), len(names)


def concept_accuracy(model: Model, gallery: Gallery) -> tuple[float, float, int]:
    """Top-1 and top-5 among the names of the held-out concepts that a style draws."""
    rows = [row for row, icon in enumerate(gallery.icons) if _is_test_concept(icon)]
    labels = [icon.emoji.label.lower() for row in rows if (icon := gallery.icons[row]).emoji]
    names = sorted(set(labels))
    images = model.pictures([on_white(gallery.pixels[row]) for row in rows])
    texts = model.texts(names)
    target = torch.tensor([names.index(label) for label in labels])
    return rank_accuracy(images, texts, target), rank_accuracy(images, texts, target, 5), len(names)


def _is_test_concept(icon: Icon) -> bool:
    return icon.emoji is not None and held_out(icon.emoji.code) and icon.emoji.subgroup not in NOISY_SUBGROUPS


def evaluate(folder: Path, samples: Path, packages: Path, cache: Path) -> dict[str, Any]:
    """All figures that the files at hand allow, printed as they come."""
    model = Model(folder)
    figures: dict[str, Any] = {}
    for part in ("train", "test", "shifted"):
        if (samples / part).is_dir():
            figures[f"samples/{part}"] = sample_accuracy(model, samples / part)
            print(f"zero-shot, samples/{part}: {figures[f'samples/{part}']:.1%}")
    if not packages.is_dir():
        print(f"no packages in {packages}: category and concept figures left out")
        return figures
    for style in (*HELD_OUT_SETS, "noto"):
        gallery = load_gallery(packages, cache, (style,))
        seen = "held-out style" if style in HELD_OUT_SETS else "trained style"
        if style in HELD_OUT_SETS:
            top, mean, count = category_accuracy(model, gallery)
            figures[f"category/{style}"] = top
            print(f"categories, {style} ({seen}): {top:.1%} top-1 of {count}, mean over categories {mean:.1%}")
        first, five, count = concept_accuracy(model, gallery)
        figures[f"concept/{style}"] = first
        print(f"held-out concepts, {style} ({seen}): {first:.1%} top-1, {five:.1%} top-5 of {count}")
    return figures


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--samples", type=Path, default=DEFAULT_SAMPLES)
    parser.add_argument("--packages", type=Path, default=Path("node_modules"))
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/saft-pretrain")
    arguments = parser.parse_args()
    evaluate(arguments.folder, arguments.samples, arguments.packages, arguments.cache)


if __name__ == "__main__":
    main()
