from __future__ import annotations

import json
from pathlib import Path

from saft_core.clip.specs import EMBEDDED_FOLDER
from tools.pretrain.export import CONFIG_FILE
from tools.pretrain.model import CONTEXT_LENGTH, MERGES_FILE, MODEL_CFG, PREPROCESS_CFG, tokenizer, write_merges


def test_the_configuration_is_what_is_shipped() -> None:
    shipped = json.loads((EMBEDDED_FOLDER / CONFIG_FILE).read_text("utf-8"))
    assert shipped == {"model_cfg": MODEL_CFG, "preprocess_cfg": PREPROCESS_CFG}


def test_the_vocabulary_is_what_is_shipped_byte_for_byte_and_fits_the_embedding(tmp_path: Path) -> None:
    write_merges(tmp_path / MERGES_FILE)
    assert (tmp_path / MERGES_FILE).read_bytes() == (EMBEDDED_FOLDER / MERGES_FILE).read_bytes()
    made = tokenizer(tmp_path / MERGES_FILE)
    assert made.vocab_size == MODEL_CFG["text_cfg"]["vocab_size"]
    assert made(["a cat"]).shape == (1, CONTEXT_LENGTH)
