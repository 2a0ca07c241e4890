from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.serving import runtimes
from saft_core.clip.backbone import Base
from tests.fixtures.models import make_base

TEXTS = ["a", "a photo of a cat", "two dogs"]


@pytest.mark.parametrize("size", [1, 3])
def test_each_runtime_gives_the_bases_image_embeddings(tiny_base: Base, tmp_path: Path, size: int) -> None:
    before = tiny_base.flat.sha256()
    pixels = torch.randn(size, 3, 32, 32)
    runtimes.export(runtimes.ImageTower(tiny_base), pixels[:1], tmp_path / "image.onnx")
    with torch.inference_mode():
        expected = tiny_base.encode_pixels(pixels)
    found = runtimes.compiled(tmp_path / "image.onnx", pixels.numpy(), expected)
    assert set(found) == {"onnxruntime", "openvino"}
    for encode, off in found.values():
        assert np.abs(encode(pixels.numpy()) - expected.numpy()).max() == pytest.approx(off, abs=1e-6)
        assert off < 1e-5
    assert tiny_base.flat.sha256() == before


@pytest.mark.parametrize("count", [1, 3])
def test_each_runtime_gives_the_bases_embeddings_of_texts_at_their_own_length(
    tiny_vit: Base, tmp_path: Path, count: int
) -> None:
    tokens = tiny_vit.tokens(TEXTS[:count])
    assert tokens.shape[1] < tiny_vit.tokenize(TEXTS).shape[1]
    runtimes.export(runtimes.TextTower(tiny_vit, tokens.shape[1]), tokens, tmp_path / "text.onnx")
    with torch.inference_mode():
        expected = tiny_vit.encode_tokens(tokens)
    found = runtimes.compiled(tmp_path / "text.onnx", tokens.contiguous().numpy(), expected)
    assert all(off < 1e-5 for _, off in found.values())


def test_a_tower_with_other_weights_is_refused(tmp_path: Path) -> None:
    pixels = torch.randn(2, 3, 32, 32)
    runtimes.export(runtimes.ImageTower(make_base("vit", seed=1)), pixels, tmp_path / "image.onnx")
    with torch.inference_mode(), pytest.raises(RuntimeError, match="onnxruntime's embeddings differ"):
        runtimes.compiled(tmp_path / "image.onnx", pixels.numpy(), make_base("vit").encode_pixels(pixels))


def test_openvino_computes_in_float32_with_the_threads_that_it_is_given(tiny_vit: Base, tmp_path: Path) -> None:
    pixels = torch.randn(2, 3, 32, 32)
    runtimes.export(runtimes.ImageTower(tiny_vit), pixels, tmp_path / "image.onnx")
    found = runtimes.openvino_model(tmp_path / "image.onnx", (2, 3, 32, 32), 1)
    assert found.get_property("INFERENCE_PRECISION_HINT").to_string() == "f32"
    assert found.get_property("INFERENCE_NUM_THREADS") == 1
    assert found.get_property("ENABLE_CPU_PINNING") is False
