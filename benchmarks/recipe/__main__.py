"""`make bench-recipe`: what each default of a training gains over the former ones, and all of them together.

ARGS=--quick      one seed of the drawings, printed and not written
ARGS=--so-far     the tables of the runs that there are, printed and not written
ARGS="--pacs DIR --seeds 5 --tasks pacs/photo samples/drawings" and so on
Every run is kept in a file of JSON lines; started again, the command makes only what is missing. Five seeds
of all five tasks take about 50 minutes on one core.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.measure import machine, write
from benchmarks.recipe.journal import Journal, Scores
from benchmarks.recipe.report import Key, rows, tables
from benchmarks.recipe.runs import TRAININGS, Bench, parts
from benchmarks.recipe.tasks import Part, Source, sources
from saft_core.clip.loading import load_base

QUICK = "samples/drawings"


def main() -> None:
    """Make what is missing, write and print."""
    options = _options()
    known = {source.name: source for source in sources(options.pacs)}
    if not options.pacs.is_dir():
        print(f"{options.pacs} is not there: the tasks of PACS are left out")
    names = [QUICK] if options.quick else options.tasks or list(known)
    missing = set(names) - set(known)
    if missing:
        raise SystemExit(f"no task {', '.join(sorted(missing))}; there are {', '.join(known)}")
    torch.set_num_threads(options.threads)
    chosen, seeds = [known[name] for name in names], 1 if options.quick else options.seeds
    bench = Bench(load_base(options.base), list(known.values()), Journal(options.cache / "recipe.jsonl"))
    found = rows(_outcomes(bench, chosen, seeds, only_made=options.so_far), names, seeds)
    print(f"\n{tables(found, names)}\n\nseconds: {machine('cpu')}")
    if not (options.quick or options.so_far):
        print(f"written to {write('recipe', [{'machine': machine('cpu'), 'seeds': seeds}, *found])}")


def _outcomes(bench: Bench, chosen: Sequence[Source], seeds: int, *, only_made: bool) -> dict[Key, Scores]:
    """All of them, or those that were made before; what takes longest comes last."""
    wanted: list[tuple[Source, Part, str, int]] = [
        (source, part, training, seed)
        for training in TRAININGS
        for part in parts(training)
        for source in chosen
        for seed in range(seeds)
        if not only_made or bench.has(source, part, training, seed)
    ]
    started, made = time.monotonic(), {}
    for number, (source, part, training, seed) in enumerate(wanted, 1):
        if not only_made:
            print(f"{number} of {len(wanted)}, {time.monotonic() - started:.0f} s:", source.name, part, training, seed)
        made[source.name, part, training, seed] = bench.outcome(source, part, training, seed)
    return made


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench-recipe ARGS=...", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one seed of the drawings, printed and not written")
    parser.add_argument("--so-far", action="store_true", help="tables of the runs that there are; runs nothing")
    parser.add_argument("--pacs", type=Path, default=Path("../shared/data/pacs"), help="a folder a style")
    parser.add_argument("--tasks", nargs="+", help="only these, such as pacs/photo or samples/photographs")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="of torch; seconds are measured with them")
    parser.add_argument("--base", default="", help="as SAFT_BASE")
    parser.add_argument("--cache", type=Path, default=Path.home() / ".cache/saft-recipe")
    return parser.parse_args()


if __name__ == "__main__":
    main()
