from __future__ import annotations

import csv
import io

import pytest

from api.csv_response import guarded, results_as_csv
from api.schemas.inference import ImageError, ImageResult, Prediction


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1", "＠x"])
def test_what_a_spreadsheet_takes_for_a_formula_is_guarded(text: str) -> None:
    assert guarded(text) == "'" + text


@pytest.mark.parametrize("text", ["", "cat", "a=b", "1-2", "'=1", " cat", "é"])
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert guarded(text) == text


def test_a_table_has_a_line_an_image_and_is_quoted_by_the_rules() -> None:
    good = ImageResult(
        predictions=[Prediction(label='a "cat", black', probability=0.75), Prediction(label="-dog", probability=0.25)],
        score=-0.25,
        unknown=None,
    )
    bad = ImageResult(
        predictions=[], score=None, unknown=None, error=ImageError(code="empty_file", detail="b\n1.png: is empty")
    )
    answer = results_as_csv(["=a.png", "b\n1.png"], [good, bad])
    assert answer.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    text = bytes(answer.body).decode()
    assert text.startswith(
        'file,label,probability,label_2,probability_2,score,unknown,error\r\n\'=a.png,"a ""cat"", black",0.75,'
    )
    assert list(csv.reader(io.StringIO(text, newline="")))[1:] == [
        ["'=a.png", 'a "cat", black', "0.75", "'-dog", "0.25", "-0.25", "", ""],
        ["b\n1.png", "", "", "", "", "", "", "empty_file: b\n1.png: is empty"],
    ]
    assert text.endswith("\r\n")
