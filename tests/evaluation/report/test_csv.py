import csv
from pathlib import Path

import numpy as np

from evaluation.report.csv import COLUMNS, write_csv
from evaluation.report.estimates import estimate
from evaluation.tables import Cell, Row, Table

GIVEN = Cell([[np.arange(30) < 20 + seed for seed in range(3)], [np.arange(10) < 5 + seed for seed in range(3)]])
ROW = Row({"shifted, mean": GIVEN, "new": Cell(missing='it has "no" words')}, 149620, 12.5, 2**29, 5e-6, 4)


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_every_figure_of_every_table_is_a_line(tmp_path: Path) -> None:
    tables = [Table(number, "Shift", ("shifted, mean", "new"), {"SAFT": ROW, "CoOp": ROW}) for number in ("1", "5")]

    write_csv(tmp_path / "t.csv", tables)

    lines = _read(tmp_path / "t.csv")
    assert tuple(lines[0]) == COLUMNS
    assert [(line["table"], line["method"], line["column"]) for line in lines] == [
        (table, method, column)
        for table in ("1", "5")
        for method in ("SAFT", "CoOp")
        for column in ("shifted, mean", "new")
    ]


def test_numbers_read_back_are_those_that_were_found(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [Table("1", "Shift", ("shifted, mean",), {"SAFT": ROW})])

    line = _read(tmp_path / "t.csv")[0]
    found = estimate(GIVEN)
    assert (float(line["mean"]), float(line["low"]), float(line["high"])) == (found.mean, found.low, found.high)
    assert (line["seeds"], line["images"], line["missing"]) == ("3", "40", "")
    assert (int(line["trainable"]), float(line["seconds"]), int(line["peak_bytes"])) == (149620, 12.5, 2**29)
    assert (float(line["learning_rate"]), line["epochs"]) == (5e-6, "4")


def test_a_missing_figure_has_its_reason_and_no_numbers(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", [Table("1", "Shift", ("new",), {"SAFT": ROW})])

    line = _read(tmp_path / "t.csv")[1]
    assert line["missing"] == 'it has "no" words'
    assert {line[name] for name in ("mean", "low", "high", "seeds", "images")} == {""}
