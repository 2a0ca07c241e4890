from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file

from saft_core.clip.backbone import Base, TrainingDefaults, _needs_quick_gelu, load_base
from saft_core.errors import Unavailable
from tests.fixtures.models import TEXT, TOWERS, bits, make_base, pictures

MAX_EMBEDDED_BYTES = 25_000_000


def write_checkpoint(folder: Path, tower: str, **card: Any) -> open_clip.CLIP:
    """A folder as a user would bring it."""
    torch.manual_seed(0)
    config = {"embed_dim": 16, "vision_cfg": TOWERS[tower], "text_cfg": TEXT}
    model = open_clip.CLIP(**config)
    save_file(dict(model.state_dict()), folder / "open_clip_model.safetensors")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": {}}))
    if card:
        (folder / "base.json").write_text(json.dumps(card))
    return model.eval()


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_a_folder_is_loaded_with_the_weights_in_it(tmp_path: Path, tower: str) -> None:
    model = write_checkpoint(tmp_path, tower)
    base = load_base(str(tmp_path))
    written = dict(model.named_parameters())
    assert {name: bits(p) for name, p in base.model.named_parameters()} == {n: bits(p) for n, p in written.items()}
    pixels = base.pixels(pictures(2))
    with torch.inference_mode():  # not bit for bit: kernels may differ with where in memory the weights lie
        torch.testing.assert_close(base.encode_pixels(pixels), model.encode_image(pixels, normalize=True))
    assert base.name == tmp_path.name
    assert base.defaults == TrainingDefaults()
    assert base.parameter_count == sum(p.numel() for p in model.parameters())


def test_defaults_live_with_the_base(tmp_path: Path) -> None:
    write_checkpoint(tmp_path, "vit", name="mine", defaults={"learning_rate": 0.5, "epochs": 3})
    base = load_base(str(tmp_path))
    assert base.name == "mine"
    assert base.defaults == TrainingDefaults(learning_rate=0.5, epochs=3)


@pytest.mark.parametrize("spec", ["ViT-B-16", "no-such-model/tag", "ViT-B-16/no-such-tag", "/no/such/folder"])
def test_what_cannot_be_loaded_is_named(spec: str) -> None:
    with pytest.raises(Unavailable, match=f"SAFT_BASE='{spec}'"):
        load_base(spec)


def test_openai_tags_run_with_the_activation_they_were_trained_with() -> None:
    assert _needs_quick_gelu("ViT-B-16", "openai")
    assert not _needs_quick_gelu("ViT-B-16", "laion2b_s34b_b88k")
    assert not _needs_quick_gelu("local-dir:/somewhere", None)


def test_the_embedded_base_is_small_and_ready() -> None:
    base = load_base("")
    folder = Path(load_base.__code__.co_filename).parent / "embedded"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= MAX_EMBEDDED_BYTES
    assert base.name
    assert base.defaults.template.count("{}") == 1
    with torch.inference_mode():
        images = base.encode_pixels(base.pixels(pictures(1, size=128)))
        texts = base.encode_texts(["a photo of a cat."])
    assert images.shape == texts.shape == (1, base.embed_dim)
    torch.testing.assert_close(images.norm(), torch.tensor(1.0))


def test_the_fingerprint_sees_parameters_buffers_and_activation() -> None:
    base, same, buffer = make_base("resnet"), make_base("resnet"), make_base("resnet")
    next(b for name, b in buffer.model.named_buffers() if "running_mean" in name)[0] += 1
    quick = make_base("resnet")
    quick.model.add_module("QuickGELU", open_clip.transformer.QuickGELU())
    assert base.fingerprint == same.fingerprint
    assert len({base.fingerprint, buffer.fingerprint, quick.fingerprint, make_base("vit").fingerprint}) == 4


def test_texts_beyond_the_context_are_cut(tiny_vit: Base) -> None:
    words = " ".join(["cat"] * 500)
    with torch.inference_mode():
        assert tiny_vit.encode_texts([words]).shape == (1, 16)
