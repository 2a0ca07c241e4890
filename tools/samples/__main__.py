"""Makes the labelled sample pictures, photographs in two parts and drawings of the same classes in a third, and the
probe set.

Run as `python -m tools.samples --packages DIR --icons node_modules --out samples/photos`; `samples/photos/SOURCES.md`
says how the packages are got. The same versions of them give the same bytes.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from tools.samples.alike import alike
from tools.samples.catalogue import PHOTOGRAPHS
from tools.samples.choice import PARTS, choose
from tools.samples.drawings import load_icons
from tools.samples.folder import write
from tools.samples.originals import load_originals
from tools.samples.packages import unpack
from tools.samples.probe import make_probe


def make_samples(packages: Path, icons: Path, out: Path, probe: Path) -> None:
    """Makes the folder `out`, and the probe set. Raises ValueError when two pictures in `out` show the same."""
    with TemporaryDirectory() as folder:
        unpack(packages, Path(folder))
        originals = load_originals(Path(folder))
        samples = choose(originals, load_icons(icons))
        write(samples, out)
        print(f"{make_probe(originals, icons, probe)} pictures in {probe}")
    if twins := alike(out / sample.file for sample in samples):
        raise ValueError("one of each is to be left out: " + "; ".join(f"{one}, {other}" for one, other in twins))
    counts = Counter((sample.label, sample.part) for sample in samples)
    for label in PHOTOGRAPHS:
        print(f"{label:20}", "  ".join(f"{part} {counts[label, part]:3}" for part in PARTS))


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--packages", type=Path, required=True, help="folder of the .deb files")
    parser.add_argument("--icons", type=Path, default=Path("node_modules"), help="folder of the npm packages")
    parser.add_argument("--out", type=Path, default=Path("samples/photos"))
    parser.add_argument("--probe", type=Path, default=Path("saft_core/data/probe_pictures"))
    arguments = parser.parse_args()
    make_samples(arguments.packages, arguments.icons, arguments.out, arguments.probe)


if __name__ == "__main__":
    main()
