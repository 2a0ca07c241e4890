"""`saft evaluate`: the tables and figures that were asked for, as Markdown, CSV and SVG in one folder."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from PIL import Image

from evaluation.conditions import Conditions
from evaluation.datasets.registry import BUNDLED, NAMES, find
from evaluation.journal import Journal
from evaluation.methods.catalogue import COOP, FULL, named
from evaluation.methods.served import Served
from evaluation.methods.sparse import SAFT
from evaluation.paper import FIGURES, TABLES, Work
from evaluation.report.csv import write_csv
from evaluation.report.markdown import markdown
from evaluation.report.standing import standing
from evaluation.study import Study
from evaluation.tables import Table
from saft_core.clip.loading import load_base
from saft_core.errors import InvalidConfig

IMAGE_ENCODERS = ("RN50/openai", "RN101/openai", "ViT-B-32/openai", "ViT-B-16/openai")
"""The bases of the paper's comparison of image encoders, as SAFT_BASE names them."""
RESULTS, REPORT, CSV = "results.jsonl", "report.md", "tables.csv"


@dataclass(frozen=True)
class Asked:
    """What the command line says.

    base, device: as SAFT_BASE and SAFT_DEVICE; an empty base is the embedded one. data: the folder with data sets; None
    is the bundled pictures.
    datasets, methods: names; empty takes all. tables, figures: numbers.
    """

    base: str
    device: str
    data: Path | None
    datasets: Sequence[str]
    methods: Sequence[str]
    tables: Sequence[str]
    figures: Sequence[str]
    conditions: Conditions
    out: Path


def evaluate(asked: Asked, say: Callable[[str], None]) -> Path:
    """Make what is missing, write all, and return the file with the report.

    Raises InvalidConfig for a name or number that there is not, and what loading a base raises.
    """
    _check("table", asked.tables, TABLES)
    _check("figure", asked.figures, FIGURES)
    _check_data(asked)
    asked.conditions.check()
    with _alone(asked.out):
        return _written(asked, say)


def _written(asked: Asked, say: Callable[[str], None]) -> Path:
    work = _work(asked, say)
    tables = [table for number in asked.tables for table in TABLES[number](work)]
    write_csv(asked.out / CSV, tables)
    pictures = [_drawn(number, work, asked.out) for number in asked.figures]
    report = asked.out / REPORT
    report.write_text("\n\n".join([*map(_told, tables), *pictures]) + "\n", "utf-8")
    return report


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """The folder is there, and no other process writes into it. Raises InvalidConfig."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / RESULTS).open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError:
        raise InvalidConfig(f"another saft evaluate writes into {folder}; wait for it, or name another --out") from None
    except (FileExistsError, FileNotFoundError, NotADirectoryError, PermissionError) as error:
        raise InvalidConfig(f"--out {folder} cannot be written into ({error.strerror}); name another") from error


def _work(asked: Asked, say: Callable[[str], None]) -> Work:
    datasets = asked.datasets or ((BUNDLED,) if asked.data is None else NAMES)
    methods, journal = named(asked.methods), Journal(asked.out / RESULTS)
    source, *transfers = datasets

    def study(base: str) -> Study:
        look = partial(find, data=asked.data)
        return Study(
            load_base(base, asked.device), look, journal, asked.conditions, say, source=source, transfers=transfers
        )

    others = [name for name in IMAGE_ENCODERS if name != asked.base] if asked.base in IMAGE_ENCODERS else []
    return Work(study(asked.base), {name: partial(study, name) for name in others}, datasets, methods)


def _told(table: Table) -> str:
    """A table, and where SAFT stands in it."""
    said = (standing(table, method, (FULL.name, COOP.name)) for method in (SAFT.name, Served.name))
    return "\n\n".join(filter(None, [markdown(table).rstrip(), "\n".join(filter(None, said))]))


def _drawn(number: str, work: Work, folder: Path) -> str:
    """Make a figure's file; what shows it in Markdown."""
    figure = FIGURES[number]
    if absence := work.study.absence(work.source) or work.study.absence(work.shifted[0]):
        return f"There is no figure {number}: {absence}"
    drawn = figure.draw(work)
    path = folder / f"figure-{number}.{'png' if isinstance(drawn, Image.Image) else 'svg'}"
    if isinstance(drawn, Image.Image):
        drawn.save(path)
    else:
        path.write_text(drawn, "utf-8")
    return f"![Figure {number}. {figure.caption}]({path.name})"


def _check_data(asked: Asked) -> None:
    if asked.data is not None and not asked.data.is_dir():
        raise InvalidConfig(f"--data {asked.data} is no folder")
    if len(set(asked.datasets)) < len(asked.datasets):
        raise InvalidConfig(f"--datasets {','.join(asked.datasets)} names one twice")


def _check(what: str, asked: Sequence[str], known: Collection[str]) -> None:
    for number in asked:
        if number not in known:
            raise InvalidConfig(f"there is no {what} {number} here; there are {', '.join(known)}")
