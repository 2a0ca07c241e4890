from __future__ import annotations

import json
from pathlib import Path

import open_clip
import pytest

from tests.saft_core.clip.checkpoints import NAME, config


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Has open_clip know the tiny model by `NAME`, without tags."""
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIG_PATHS", list(open_clip.factory._MODEL_CONFIG_PATHS))
    monkeypatch.setattr(open_clip.factory, "_MODEL_CONFIGS", dict(open_clip.factory._MODEL_CONFIGS))
    file = tmp_path / f"{NAME}.json"
    file.write_text(json.dumps(config()))
    open_clip.add_model_config(file)
    return NAME
