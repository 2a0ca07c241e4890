"""The vector of a search that is made of several parts, all unit vectors of one model, float32 (embed_dim,)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from saft_core.errors import InvalidInput

FloatArray = npt.NDArray[np.float32]
NEGATIVE_WEIGHT = 0.5
"""Of what is unwanted: twice the query less it, as Qdrant's `average_vector` has it."""
MIN_NORM = 1e-3
"""Below it the parts have cancelled out, and what is left is the noise of their arithmetic."""


def combine(
    text: FloatArray | None, image: FloatArray | None, negative: FloatArray | None, text_weight: float = 0.5
) -> FloatArray:
    """The unit vector of w * text + (1 - w) * image, normalised, less half of `negative`.

    Raises InvalidInput when the parts cancel out.
    """
    query = _either(text, image) if text is None or image is None else text_weight * text + (1 - text_weight) * image
    if negative is not None:
        query = _unit(query) - NEGATIVE_WEIGHT * negative
    return _unit(query)


def _either(text: FloatArray | None, image: FloatArray | None) -> FloatArray:
    given = image if text is None else text
    if given is None:
        raise ValueError("a query needs a text or an image")
    return given


def _unit(vector: FloatArray) -> FloatArray:
    norm = float(np.linalg.norm(vector))
    if not norm >= MIN_NORM:
        raise InvalidInput("text and image are each other's opposite here; search by one of them")
    return np.asarray(vector / norm, dtype=np.float32)
