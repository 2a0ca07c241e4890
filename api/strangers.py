"""How likely a picture shows none of the labels that a request brings, by a probe set of other things."""

from __future__ import annotations

from functools import cached_property, lru_cache

from saft_core.calibration import FloatArray, Unknown, fit_unknown_to_labels
from saft_core.data.images import decode_image
from saft_core.data.limits import DataLimits
from saft_core.data.probe import Probe
from saft_core.errors import InvalidInput
from saft_core.serving.engine import Engine
from saft_core.templates import Template

KEPT = 1024
"""Sets of labels of which is remembered what a stranger to them is."""


class Strangers:
    """What the base takes for a stranger; any number of threads may ask."""

    def __init__(self, engine: Engine, probe: Probe, limits: DataLimits) -> None:
        self._engine, self._probe, self._limits = engine, probe, limits
        self.unknown = lru_cache(KEPT)(self._unknown)

    def warm_up(self) -> None:
        """Encode the probe set, so that no request has to wait for it. Raises what the engine raises."""
        _ = self._images

    def _unknown(self, labels: tuple[str, ...], template: Template) -> Unknown | None:
        """What tells a stranger to these labels; None where it cannot be told. Raises what the engine raises."""
        named = self._engine.embed_labels(None, labels, template)
        try:
            concepts = self._engine.embed_labels(None, self._probe.concepts, template)
        except InvalidInput:  # the template leaves too little room for a name that the caller has never heard of
            return None
        return fit_unknown_to_labels(self._images, self._probe.targets, concepts, named)

    @cached_property
    def _images(self) -> FloatArray:
        """Unit embeddings of the probe set, float32 (N, embed_dim)."""
        side = self._engine.base.image_side
        pictures = [decode_image(sample.read(), self._limits, side) for sample in self._probe.samples]
        return self._engine.embed_images(None, pictures)
