"""From icon packages to the shipped folder: `python -m tools.pretrain --packages node_modules`."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

import torch

from tools.pretrain.corpus import load_corpus
from tools.pretrain.evaluate import DEFAULT_FOLDER, DEFAULT_SAMPLES, evaluate
from tools.pretrain.export import export
from tools.pretrain.train import TrainConfig, Trainer

REPOSITORY = Path(__file__).resolve().parents[2]


def parse() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m tools.pretrain", description=__doc__)
    parser.add_argument("--packages", type=Path, default=Path("node_modules"), help="where npm installed")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/saft-pretrain")
    parser.add_argument("--out", type=Path, default=REPOSITORY / DEFAULT_FOLDER)
    parser.add_argument("--minutes", type=float, default=TrainConfig.minutes)
    parser.add_argument("--batch-size", type=int, default=TrainConfig.batch_size)
    parser.add_argument("--seed", type=int, default=TrainConfig.seed)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--export-only", action="store_true", help="export the last checkpoint without training")
    return parser.parse_args()


def main() -> None:
    """Collects, renders, trains, exports and evaluates; run it again after a kill and it carries on."""
    arguments = parse()
    torch.set_num_threads(arguments.threads)
    checkpoint = arguments.cache / "checkpoint.pt"
    if not arguments.export_only:
        corpus = load_corpus(arguments.packages, arguments.cache, arguments.threads)
        print(f"{len(corpus.gallery.icons)} pictures, {len(corpus.bank.phrases)} phrases")
        config = TrainConfig(
            minutes=arguments.minutes,
            batch_size=arguments.batch_size,
            seed=arguments.seed,
            device=arguments.device,
        )
        Trainer(corpus, config, checkpoint).run(partial(print, flush=True))
    print(f"wrote {export(checkpoint, arguments.out)}")
    evaluate(arguments.out, REPOSITORY / DEFAULT_SAMPLES, arguments.packages, arguments.cache)


if __name__ == "__main__":
    main()
