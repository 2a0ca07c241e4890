"""What an export says of itself, whatever its form: enough to have the service's answers from it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from saft_core.calibration import WORDS_COUNT, Calibration, FloatArray
from saft_core.clip.backbone import Base
from saft_core.clip.fingerprint import preprocessing
from saft_core.clip.zero_shot import fill
from saft_core.templates import Template, each

VERSION = 1
"""Of what the files hold. It must change with them, for clients keep files by it."""


@dataclass(frozen=True, eq=False)
class Description:
    """What is exported.

    calibration: of these classes at this strength. words: unit embeddings of words that are none of the classes,
    float32 (W, embed_dim), which `calibration.unknown` is told by. texts_per_pass: prompts that are encoded at a time.
    threads: of a pass; sums are rounded by how many there are.
    """

    name: str
    classes: tuple[str, ...]
    template: Template
    strength: float
    calibration: Calibration
    words: FloatArray
    texts_per_pass: int
    threads: int

    def about(self, base: Base) -> dict[str, Any]:
        """As JSON. `prompts` has a list for each template, in the order of `classes`."""
        unknown = self.calibration.unknown
        return {
            "version": VERSION,
            "name": self.name,
            "classes": list(self.classes),
            "templates": list(each(self.template)),
            "prompts": [fill(one, self.classes) for one in each(self.template)],
            "strength": self.strength,
            "temperature": self.calibration.temperature,
            "unknown": asdict(unknown) | {"words_count": WORDS_COUNT} if unknown else None,
            "preprocessing": preprocessing(base.model),
            "texts_per_pass": self.texts_per_pass,
            "threads": self.threads,
            "base": base.name,
            "base_fingerprint": base.fingerprint,
        }
