"""Calibration: a softmax temperature, and the probability that an image shows none of the labels (is unknown).

For an adapter both are fitted on images held out from training and on pictures of other things (the probe set), and
stored with its metrics; they hold for its own labels at its own strength. For any other labels the second is fitted on
the probe set alone, from the similarity of its pictures to the labels and to their own names.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]

TEMPERATURES = np.geomspace(0.1, 10, 81)
RECALL = 0.95
"""The share of held-out images that are below the threshold of `unknown`."""
CONCEPTS_APART = 0.95
WORDS_APART = 0.98
"""Of the probe set's concepts, and of words: one that is closer to a label than so many of all pairs may mean it."""
WORDS_COUNT = 0.5
STEEPEST = 1e6
"""Of what a container may state; margins lie between -2 and 2, and the log-odds of none of our own is as steep."""
LEAST_IMAGES = 5
"""Images that a fit needs of each kind."""


@dataclass(frozen=True)
class Unknown:
    """A logistic model of the probability that an image shows none of the labels, given its margin (`margin`).

    slope, intercept: of the log-odds that it shows one of them. threshold: of the probability that it shows none; the
    held-out images stay below it but for one in twenty. auroc: of held-out images against pictures of other things.
    """

    slope: float
    intercept: float
    threshold: float
    auroc: float

    def probability(self, margins: FloatArray) -> FloatArray:
        """The probability that an image shows none of the labels, in (0, 1), in the shape of `margins`."""
        log_odds = np.clip(self.slope * margins + self.intercept, -60, 60)
        return np.asarray(1 / (1 + np.exp(log_odds)))


@dataclass(frozen=True)
class Calibration:
    """temperature: what logits are divided by before the softmax. unknown: None where it could not be fitted."""

    temperature: float = 1.0
    unknown: Unknown | None = None

    def as_metrics(self) -> dict[str, Any]:
        """The JSON object that is stored with an adapter."""
        return {"temperature": self.temperature, "unknown": asdict(self.unknown) if self.unknown else None}

    @classmethod
    def of_metrics(cls, metrics: Mapping[str, Any]) -> Calibration:
        """The inverse of `as_metrics`; an empty object gives the default.

        Raises ValueError, naming the value, for one that is out of range: an imported container is not trusted.
        """
        temperature = _number(metrics, "temperature", 1.0)
        if not TEMPERATURES[0] <= temperature <= TEMPERATURES[-1]:
            raise ValueError(f"temperature must be from {TEMPERATURES[0]:g} to {TEMPERATURES[-1]:g}")
        stated = metrics.get("unknown")
        if stated is None:
            return cls(temperature)
        if not isinstance(stated, Mapping):
            raise ValueError("unknown must be an object")
        return cls(temperature, _unknown(stated))


def _unknown(stated: Mapping[str, Any]) -> Unknown:
    found = {name: _number(stated, name, of="unknown.") for name in Unknown.__dataclass_fields__}
    for name, least, most in (
        ("slope", 0, STEEPEST),
        ("intercept", -STEEPEST, STEEPEST),
        ("threshold", 0, 1),
        ("auroc", 0, 1),
    ):
        if not least <= found[name] <= most:
            raise ValueError(f"unknown.{name} must be from {least:g} to {most:g}")
    return Unknown(**found)


UNCALIBRATED = Calibration()
"""The calibration without held-out images: temperature 1, and no model of unknown images."""


def _number(values: Mapping[str, Any], name: str, default: float | None = None, of: str = "") -> float:
    value = values.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{of}{name} must be a number")
    return float(value)


def fit_temperature(logits: FloatArray, targets: npt.NDArray[np.int64]) -> float:
    """The one of TEMPERATURES under which the true classes are most probable (Guo et al., arXiv 1706.04599).

    logits: (N, classes). targets: class positions, (N,).

    A few images that are all right would ask for the lowest. So the true class is worth (N + 1/2) / (N + 1), and the
    rest goes to the others alike: Jeffreys' rule, as if half an image more had been right and half a one wrong.
    """
    images, classes = logits.shape
    if classes < 2:
        return 1.0
    wanted = np.full((images, classes), 0.5 / (images + 1) / (classes - 1))
    wanted[np.arange(images), targets] = (images + 0.5) / (images + 1)
    losses = [-(wanted * _log_softmax(logits / temperature)).sum() for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _log_softmax(logits: FloatArray) -> FloatArray:
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def fit_unknown(known: FloatArray, strangers: FloatArray) -> Unknown | None:
    """From the margins of images that show one of the labels, (N,), and of others, (M,).

    Both are taken as normal with one variance and as equally likely: the log-odds are then linear, and finite however
    far apart they lie. None with fewer than LEAST_IMAGES of either, or if the strangers are not the lower ones.
    """
    if min(len(known), len(strangers)) < LEAST_IMAGES:
        return None
    high, low = float(known.mean()), float(strangers.mean())
    variance = (float(known.var()) + float(strangers.var())) / 2
    if not (high > low and variance > 0):
        return None
    slope = min((high - low) / variance, STEEPEST / 2)
    fitted = Unknown(slope, -slope * (high + low) / 2, 0.0, auroc(known, strangers))
    threshold = float(np.quantile(fitted.probability(known), RECALL))
    return Unknown(fitted.slope, fitted.intercept, threshold, fitted.auroc)


@dataclass(frozen=True, eq=False)
class Words:
    """Names of things, and above which cosine one may well mean another: a violin is an instrument.

    embeddings: of unit length, (W, embed_dim).
    """

    embeddings: FloatArray
    close: float

    @classmethod
    def of(cls, embeddings: FloatArray, apart: float) -> Words:
        """Close is what is closer than `apart` of all pairs are, a share."""
        among = (embeddings @ embeddings.T)[~np.eye(len(embeddings), dtype=np.bool_)]
        return cls(embeddings, float(np.quantile(among, apart)) if len(among) else -1.0)

    def none_of(self, labels: FloatArray) -> npt.NDArray[np.bool_]:
        """Which words are close to none of the labels, unit embeddings (labels, embed_dim); (W,)."""
        return np.asarray((self.embeddings @ labels.T).max(axis=1) < self.close)


def margin(
    highest: FloatArray, images: FloatArray, words: Words, others: npt.NDArray[np.bool_]
) -> npt.NDArray[np.floating[Any]]:
    """By how much images, unit embeddings (N, embed_dim), are closer to some label than to what else there is, (N,).

    highest: of their cosines to the labels, (N,). others: the words that are none of the labels, (W,) or (N, W); of the
    closest of these half counts (labels against other words: NegLabel, arXiv 2403.20078).
    """
    if not others.any():
        return highest
    elsewhere = np.where(others, images @ words.embeddings.T, -1).max(axis=1)
    return np.asarray(highest - WORDS_COUNT * elsewhere)


def fit_unknown_to_labels(
    images: FloatArray, own: npt.NDArray[np.int64], concepts: FloatArray, labels: FloatArray, words: Words
) -> Unknown | None:
    """For labels of which nobody has pictures, from pictures of other things.

    images, concepts, labels: unit embeddings of N pictures, of what they show, and of the labels. own: the place of
    each picture's concept, (N,).

    As if each picture's own concept were one more label. Pictures of a label itself, as far as words tell, are left
    out: they are neither.
    """
    strangers = Words.of(concepts, CONCEPTS_APART).none_of(labels)[own]
    others = words.none_of(labels)
    besides_own = np.stack([others & words.none_of(concept[None]) for concept in concepts])[own]
    among_labels = (images @ labels.T).max(axis=1)
    named = np.maximum((images * concepts[own]).sum(axis=1), among_labels)
    known = margin(named, images, words, besides_own)
    return fit_unknown(known[strangers], margin(among_labels, images, words, others)[strangers])


def auroc(known: FloatArray, strangers: FloatArray) -> float:
    """How often one of `known` is higher than one of `strangers`, a tie for half (Mann and Whitney 1947)."""
    higher = (known[:, None] > strangers[None, :]).mean()
    return float(higher + (known[:, None] == strangers[None, :]).mean() / 2)
