import numpy as np
import pytest

from evaluation.report import markdown as module
from evaluation.report.claims import Claim
from evaluation.report.markdown import markdown
from evaluation.tables import Cell, Row, Table

NAMELESS = "its classifier has no words"


def _of(*shares: tuple[int, int]) -> Cell:
    """Under three seeds alike: of so many images, all are right or none is, so that there is no doubt."""
    return Cell([[np.arange(images) < right] * 3 for right, images in shares])


ALL, NONE = _of((4, 4)), _of((0, 4))
HALF, NEITHER = _of((4, 4), (0, 4)), _of((0, 4), (0, 4))
ROWS = {
    "zero-shot": Row({"photo": NONE, "shifted": HALF}, 0, 0.04, 2**20),
    "SAFT": Row({"photo": ALL, "shifted": HALF}, 149620, 12.34, 384 * 2**20, 5e-6, 4),
    "full": Row({"photo": ALL, "shifted": NEITHER}, 149620737, 1234.5, 2**31, 1e-5, 4),
    "linear probe": Row({"photo": NONE, "shifted": Cell(missing=NAMELESS)}, 2048, 3, 2**28, 0.01),
    "MaPLe": Row({"photo": Cell(missing="no tokens"), "shifted": Cell(missing="no tokens")}),
    "CoOp | 16": Row({"photo": ALL}, 8192, 100, 2**30, 2e-3, 50),
}
TABLE = Table("1", "Shift", ("photo", "shifted"), ROWS, ("Base: tiny.", "3 seeds."), ("A remark.",))

WHOLE = """\
### Table 1. Shift

- Base: tiny.
- 3 seeds.

| method | photo | shifted | trainable | seconds | peak memory | learning rate | epochs |
|---|---:|---:|---:|---:|---:|---:|---:|
| zero-shot | 0.0 (0.0 to 0.0) | **50.0** (50.0 to 50.0) | 0 | 0.0 | 1 MiB | – | – |
| SAFT | **100.0** (100.0 to 100.0) | **50.0** (50.0 to 50.0) | 149,620 | 12.3 | 384 MiB | 5e-6 | 4 |
| *paper: SAFT* | 77.2 (section 9) [1] | +3.5 over full (abstract); here +50.0 (+50.0 to +50.0) [1] |  |  |  |  |  |
| full | **100.0** (100.0 to 100.0) | 0.0 (0.0 to 0.0) | 149,620,737 | 1,234 | 2,048 MiB | 1e-5 | 4 |
| linear probe | 0.0 (0.0 to 0.0) | – [2] | 2,048 | 3.0 | 256 MiB | 0.01 | – |
| MaPLe | – [3] | – [3] | – | – | – | – | – |
| CoOp \\| 16 | **100.0** (100.0 to 100.0) | – [4] | 8,192 | 100 | 1,024 MiB | 0.002 | 50 |

- [1] arXiv 2407.03036, measured on a made-up set.
- [2] its classifier has no words
- [3] no tokens
- [4] it was not run
- A remark.
"""


@pytest.fixture
def stated(monkeypatch: pytest.MonkeyPatch) -> None:
    found = {
        "photo": Claim("1", "SAFT", "photo", 77.2, "section 9", "a made-up set"),
        "shifted": Claim("1", "SAFT", "shifted", 3.5, "abstract", "a made-up set", over="full"),
    }
    monkeypatch.setattr(
        module, "claim", lambda table, method, column: found.get(column) if method == "SAFT" and table == "1" else None
    )


@pytest.mark.usefixtures("stated")
def test_a_table_says_all_that_was_found_beside_what_the_paper_states() -> None:
    assert markdown(TABLE) == WHOLE


def test_a_table_of_which_the_paper_states_nothing_has_no_row_of_its_figures() -> None:
    bare = Table("99", "Bare", ("photo",), {"SAFT": ROWS["SAFT"]})

    assert markdown(bare).splitlines() == [
        "### Table 99. Bare",
        "",
        "| method | photo | trainable | seconds | peak memory | learning rate | epochs |",
        "|---|---:|---:|---:|---:|---:|---:|",
        "| SAFT | **100.0** (100.0 to 100.0) | 149,620 | 12.3 | 384 MiB | 5e-6 | 4 |",
    ]


@pytest.mark.usefixtures("stated")
def test_a_gain_over_a_method_that_was_not_run_stands_alone() -> None:
    alone = Table("1", "Shift", ("shifted",), {"SAFT": ROWS["SAFT"]})

    assert "| *paper: SAFT* | +3.5 over full (abstract) [1] |" in markdown(alone)


def test_a_column_without_a_figure_has_nothing_bold() -> None:
    rows = {"MaPLe": ROWS["MaPLe"], "linear probe": Row({"photo": Cell(missing=NAMELESS)})}
    assert "**" not in markdown(Table("9", "Empty", ("photo",), rows))


def test_a_table_that_is_empty_for_one_reason_is_that_reason() -> None:
    rows = dict.fromkeys(("SAFT", "CoOp"), Row({"photo": Cell(missing="no folder eurosat")}))
    assert markdown(Table("9", "Empty", ("photo",), rows)) == (
        "### Table 9. Empty\n\nThere are no figures: no folder eurosat.\n"
    )
