"""Prints what the base names right before any training: `python -m tools.pretrain.evaluate --pictures DIR ...`.

Each DIR holds one folder of pictures a class. The base is loaded as the product loads it, with the template it ships.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.clip.zero_shot import fill

REPOSITORY = Path(__file__).resolve().parents[2]
DEFAULT_FOLDER = Path("saft_core/clip/embedded")
DEFAULT_PICTURES = tuple(Path("samples/photos") / part for part in ("train", "test", "shifted"))
BATCH = 32


def accuracy(base: Base, folder: Path) -> tuple[dict[str, float], int]:
    """Zero-shot accuracy of each class of a folder, and the number of pictures."""
    classes = sorted(path.name for path in folder.iterdir() if path.is_dir())
    with torch.inference_mode():
        prompts = fill(base.defaults.template, [name.replace("_", " ") for name in classes])
        texts = F.normalize(base.encode_texts(prompts), dim=1)
        images = [_embedded(base, sorted((folder / name).iterdir())) for name in classes]
    right = {
        name: ((each @ texts.T).argmax(1) == row).float().mean().item()
        for row, (name, each) in enumerate(zip(classes, images, strict=True))
    }
    return right, sum(map(len, images))


def _embedded(base: Base, files: Sequence[Path]) -> Tensor:
    pictures = list(_opened(files))
    parts = [base.encode_pixels(base.pixels(pictures[i : i + BATCH])) for i in range(0, len(pictures), BATCH)]
    return F.normalize(torch.cat(parts), dim=1)


def _opened(files: Sequence[Path]) -> Iterator[Image.Image]:
    """RGB pictures; what is transparent becomes white, as in the product."""
    for file in files:
        with Image.open(io.BytesIO(file.read_bytes())) as opened:
            picture = opened.convert("RGBA")
        yield Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture).convert("RGB")


def evaluate(spec: str, folders: Sequence[Path]) -> None:
    """Print a line for each folder: the mean over its classes, which counts each class alike, and each class."""
    base = load_base(spec)
    for folder in folders:
        if not folder.is_dir():
            print(f"{folder}: not there")
            continue
        right, pictures = accuracy(base, folder)
        by_class = ", ".join(f"{name} {100 * share:.0f}" for name, share in right.items())
        print(
            f"{folder}: {100 * sum(right.values()) / len(right):.1f}% of {pictures} pictures ({by_class})", flush=True
        )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain.evaluate", description=__doc__)
    parser.add_argument("--base", default="", help="as SAFT_BASE; the shipped one unless given")
    parser.add_argument("--pictures", type=Path, nargs="+", default=[REPOSITORY / part for part in DEFAULT_PICTURES])
    arguments = parser.parse_args()
    evaluate(arguments.base, arguments.pictures)


if __name__ == "__main__":
    main()
