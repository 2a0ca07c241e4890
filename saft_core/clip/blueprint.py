"""The open_clip configuration that a base was built from; exports write it beside the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Blueprint:
    """model_cfg: as in `open_clip_config.json`. files: what it names beside itself, such as a vocabulary, by name."""

    model_cfg: dict[str, Any]
    files: Mapping[str, bytes] = field(default_factory=dict)
