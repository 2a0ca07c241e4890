"""The answer of POST /classify as CSV (RFC 4180), guarded against formulas of spreadsheets."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence

from fastapi import Response

from api.schemas.inference import ImageResult

CSV = "text/csv"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Characters that a spreadsheet takes for the start of a formula, full-width ones among them."""
Cell = str | float


def guarded(text: str) -> str:
    """The text, behind an apostrophe if a spreadsheet could take it for a formula."""
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text


def results_as_csv(names: Sequence[str], results: Sequence[ImageResult]) -> Response:
    """A CSV response with one line an image: name, predictions from the most probable on, score, unknown, error."""
    width = max((len(result.predictions) for result in results), default=0) or 1
    file = io.StringIO(newline="")
    writer = csv.writer(file, lineterminator="\r\n")
    writer.writerow(_header(width))
    writer.writerows(_row(name, result, width) for name, result in zip(names, results, strict=True))
    return Response(file.getvalue(), media_type=f"{CSV}; charset=utf-8; header=present")


def _header(width: int) -> Iterator[str]:
    yield "file"
    for rank in range(1, width + 1):
        ending = "" if rank == 1 else f"_{rank}"
        yield from (f"label{ending}", f"probability{ending}")
    yield from ("score", "unknown", "error")


def _row(name: str, result: ImageResult, width: int) -> Iterator[Cell]:
    yield guarded(name)
    for prediction in result.predictions:
        yield from (guarded(prediction.label), prediction.probability)
    yield from [""] * (2 * (width - len(result.predictions)))
    yield from ("" if number is None else number for number in (result.score, result.unknown))
    yield guarded(f"{result.error.code}: {result.error.detail}") if result.error else ""
