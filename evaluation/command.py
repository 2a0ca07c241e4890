"""`saft evaluate`: the tables and figures that were asked for, as Markdown, CSV and SVG in one folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from evaluation import protocols
from evaluation.datasets.registry import BUNDLED, NAMES, find
from evaluation.figures import draw
from evaluation.journal import Journal
from evaluation.methods.catalogue import chosen
from evaluation.protocols import Methods
from evaluation.report.csv import write_csv
from evaluation.report.markdown import markdown
from evaluation.standing import standing
from evaluation.study import Conditions, Study
from evaluation.tables import Table
from saft_core.clip.backbone import Base
from saft_core.clip.loading import load_base
from saft_core.errors import InvalidConfig

IMAGE_ENCODERS = ("RN50/openai", "RN101/openai", "ViT-B-32/openai", "ViT-B-16/openai")
"""The bases of the paper's comparison of image encoders, as SAFT_BASE names them."""
RESULTS, TABLES, CSV = "results.jsonl", "tables.md", "tables.csv"


@dataclass(frozen=True)
class Asked:
    """What the command line says.

    base: as SAFT_BASE; empty is the embedded one. data: the folder with data sets; None is the bundled pictures.
    datasets, methods, tables, figures: names and numbers; empty takes all.
    """

    base: str
    data: Path | None
    datasets: Sequence[str]
    methods: Sequence[str]
    tables: Sequence[str]
    figures: Sequence[str]
    conditions: Conditions
    out: Path


def evaluate(asked: Asked, say: Callable[[str], None]) -> Path:
    """Make what is missing, write all, and return the file with the tables.

    Raises InvalidConfig for a name or number that there is not, and what loading a base raises.
    """
    _known("table", asked.tables, MAKERS)
    _known("figure", asked.figures, ("1", "3", "4", "5", "6"))
    datasets = asked.datasets or ((BUNDLED,) if asked.data is None else NAMES)
    methods = chosen(asked.methods)
    journal = Journal(asked.out / RESULTS)
    source, *targets = datasets

    def study(base: Base) -> Study:
        look = partial(find, data=asked.data)
        return Study(base, look, journal, asked.conditions, say, source=source, transfers=targets)

    main = study(load_base(asked.base))
    others = _image_encoders(asked, main.base)
    work = Work(main, lambda: {**{name: study(load_base(name)) for name in others}}, datasets, methods)
    tables = [table for number, make in MAKERS.items() if _wanted(number, asked.tables) for table in make(work)]
    asked.out.mkdir(parents=True, exist_ok=True)
    write_csv(asked.out / CSV, tables)
    drawn = draw(main, tables, methods, asked.out, [n for n in ("1", "3", "4", "5", "6") if _wanted(n, asked.figures)])
    text = "\n\n".join(
        part for table in tables for part in (markdown(table), standing(table, methods.saft.name, RIVALS)) if part
    )
    pictures = "".join(f"\n![{title}]({path.name})\n" for title, path in drawn.items())
    (asked.out / TABLES).write_text(f"{text}\n{pictures}", "utf-8")
    return asked.out / TABLES


RIVALS = ("full fine-tuning", "CoOp")
"""What the text below a table says where SAFT stands against."""


@dataclass(frozen=True)
class Work:
    """What tables are made of."""

    study: Study
    bases: Callable[[], Mapping[str, Study]]
    datasets: Sequence[str]
    methods: Methods

    @property
    def source(self) -> str:
        """The data set that whatever takes only one is made on: the first."""
        return self.datasets[0]


def _shifts(work: Work) -> list[Table]:
    """One for each data set with a shifted part, or for the first where none has one."""
    shifted = [name for name in work.datasets if work.study.has(name) and work.study.dataset(name).shifted]
    return [protocols.distribution_shift(work.study, name, work.methods.all) for name in shifted or work.datasets[:1]]


def _image_encoder_table(work: Work) -> list[Table]:
    studies = {work.study.base.name: work.study, **work.bases()}
    return [protocols.image_encoders(studies, work.source, work.methods)]


MAKERS: Mapping[str, Callable[[Work], list[Table]]] = {
    "1": _shifts,
    "2": lambda work: protocols.base_to_new(work.study, work.datasets, work.methods.all),
    "3": lambda work: [protocols.cross_dataset(work.study, work.source, work.datasets[1:], work.methods.all)],
    "5": lambda work: [protocols.selections(work.study, work.source, work.methods)],
    "8": _image_encoder_table,
    "10": lambda work: [protocols.encoders(work.study, work.source, work.methods)],
    "11": lambda work: [protocols.shots(work.study, work.source, work.methods)],
    "12": lambda work: [protocols.densities(work.study, work.source, work.methods)],
}
"""By the number of the table."""


def _image_encoders(asked: Asked, base: Base) -> Sequence[str]:
    """Beside a CLIP of OpenAI's, the others; the embedded base has none of its kind."""
    if not asked.base.endswith("/openai"):
        return ()
    return [name for name in IMAGE_ENCODERS if name not in (asked.base, base.name)]


def _wanted(number: str, asked: Sequence[str]) -> bool:
    return not asked or number in asked


def _known(what: str, asked: Sequence[str], known: Sequence[str] | Mapping[str, object]) -> None:
    for number in asked:
        if number not in known:
            raise InvalidConfig(f"there is no {what} {number} here; there are {', '.join(known)}")
