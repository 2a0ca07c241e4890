from __future__ import annotations

import json

from saft_core.clip.specs import EMBEDDED_FOLDER
from tools.pretrain.export import BASE, BASE_FILE


def test_what_is_written_is_what_is_shipped() -> None:
    assert json.loads((EMBEDDED_FOLDER / BASE_FILE).read_text("utf-8")) == BASE
