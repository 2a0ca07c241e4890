"""Content negotiation (RFC 9110, 12.5.1): which of the media types on offer an `Accept` header prefers."""

from __future__ import annotations

from collections.abc import Sequence

MAX_RANGES = 64
"""Media ranges of one header that are looked at; browsers send fewer than ten."""


def preferred(accept: str, offers: Sequence[str]) -> str:
    """The offer with the greatest quality value; the first of equals, and the first where none is accepted."""
    ranges = [_parsed(part) for part in accept.split(",")[:MAX_RANGES] if part.strip()]
    best = max(offers, key=lambda offer: _quality(offer, ranges))  # the first of equals
    return best if _quality(best, ranges) > 0 else offers[0]


def _parsed(part: str) -> tuple[str, float]:
    """(media range, quality) of one part; a quality that is no number from 0 to 1 counts as 0."""
    kind, *parameters = part.split(";")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "q":
            return kind.strip().lower(), _number(value.strip())
    return kind.strip().lower(), 1.0


def _number(text: str) -> float:
    digits = text.replace(".", "", 1)
    if not (digits.isascii() and digits.isdigit() and len(text) <= 5):
        return 0.0
    return float(text) if float(text) <= 1 else 0.0


def _quality(offer: str, ranges: Sequence[tuple[str, float]]) -> float:
    """The quality value of the most specific media range that matches the offer; 0 without one."""
    qualities = dict(reversed(ranges))  # of the same range given twice the first counts
    group = offer.partition("/")[0] + "/*"
    return next((qualities[kind] for kind in (offer, group, "*/*") if kind in qualities), 0.0)
