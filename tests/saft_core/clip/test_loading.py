from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from safetensors.torch import save_file

from saft_core.clip import loading
from saft_core.clip.backbone import Base, Card
from saft_core.clip.loading import load_base, pick_device
from saft_core.clip.specs import EMBEDDED_FOLDER
from saft_core.errors import Unavailable
from saft_core.training_options import TrainingDefaults
from tests.fixtures.models import CONTEXT_LENGTH, TOWERS, bits, pictures
from tests.saft_core.clip.checkpoints import NAME, clip, config, give_tags, warned, write_folder

MAX_EMBEDDED_BYTES = 40_000_000


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_a_folder_is_loaded_with_the_weights_in_it(tmp_path: Path, tower: str) -> None:
    model = clip(**config(tower))
    base = load_base(write_folder(tmp_path / "folder", config(tower), model=model))
    written = dict(model.named_parameters())
    assert {name: bits(p) for name, p in base.model.named_parameters()} == {n: bits(p) for n, p in written.items()}
    pixels = base.pixels(pictures(2))
    with torch.inference_mode():  # not bit for bit: kernels may differ with where in memory the weights lie
        torch.testing.assert_close(base.encode_pixels(pixels), model.encode_image(pixels, normalize=True))
    assert base.name == "folder"
    assert base.defaults == TrainingDefaults()
    assert base.parameter_count == sum(p.numel() for p in model.parameters())


def test_defaults_live_with_the_base(tmp_path: Path) -> None:
    card = {"name": "mine", "suits": "It knows nothing.", "defaults": {"learning_rate": 0.5, "epochs": 3}}
    base = load_base(write_folder(tmp_path / "folder", config(), card=card))
    assert base.name == "mine"
    assert base.defaults == TrainingDefaults(learning_rate=0.5, epochs=3)
    assert base.card == Card("It knows nothing.", embedded=False)
    assert load_base(write_folder(tmp_path / "another", config())).card == Card()


def test_the_embedded_base_is_small_and_ready() -> None:
    base = load_base("")
    assert sum(file.stat().st_size for file in EMBEDDED_FOLDER.iterdir()) <= MAX_EMBEDDED_BYTES
    assert base.name
    assert base.defaults.template.count("{}") == 1
    assert base.card.embedded
    model_card = (EMBEDDED_FOLDER / "MODEL_CARD.md").read_text("utf-8").replace("**", "")
    assert base.card.suits
    assert base.card.suits in " ".join(model_card.split())
    with torch.inference_mode():
        images = base.encode_pixels(base.pixels(pictures(1, size=128)))
        texts = base.encode_texts(["a photo of a cat."])
    assert images.shape == texts.shape == (1, base.embed_dim)
    torch.testing.assert_close(images.norm(), torch.tensor(1.0))


@pytest.mark.parametrize("spec", ["ViT-B-16", "no-such-model/tag", "ViT-B-16/no-such-tag", "/no/such/folder"])
def test_what_cannot_be_loaded_is_named(spec: str) -> None:
    with pytest.raises(Unavailable, match=f"SAFT_BASE='{spec}'"):
        load_base(spec)


SIGLIP = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5), "interpolation": "bilinear", "resize_mode": "squash"}


def write_file(folder: Path) -> str:
    save_file(dict(clip().state_dict()), folder / "mine.safetensors")
    return f"{NAME}/{folder}/mine.safetensors"


@pytest.mark.usefixtures("registered")
def test_a_file_is_run_and_fed_as_all_tags_of_its_model_want(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give_tags(monkeypatch, {"quick_gelu": True} | SIGLIP, {"quick_gelu": True} | SIGLIP)
    base = load_base(write_file(tmp_path))
    assert warned(caplog) == []
    quick = clip(**config(quick_gelu=True))
    transform = image_transform_v2(PreprocessCfg(size=32, **SIGLIP), is_train=False)
    images = [image.resize((50, 33)) for image in pictures(2)]
    expected = torch.stack([transform(image) for image in images])
    with torch.no_grad():
        assert torch.equal(base.pixels(images), expected)
        torch.testing.assert_close(base.encode_pixels(expected), quick.encode_image(expected, normalize=True))


@pytest.mark.usefixtures("registered")
def test_what_had_to_be_guessed_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    give_tags(monkeypatch, {}, {"quick_gelu": True})
    base = load_base(write_file(tmp_path))
    assert "QuickGELU" not in base.describe()
    (told,) = warned(caplog)
    for words in (base.name, "GELU: 1, QuickGELU: 1", "took GELU"):
        assert words in told


@pytest.mark.usefixtures("registered")
def test_a_tag_is_run_and_fed_as_it_wants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_tags(monkeypatch, {"quick_gelu": True} | SIGLIP, {})
    downloaded = write_file(tmp_path).partition("/")[2]
    monkeypatch.setattr("saft_core.clip.hub._answers", lambda: True)
    monkeypatch.setattr(open_clip, "download_pretrained", lambda tag: downloaded if tag.get("quick_gelu") else None)
    described = load_base(f"{NAME}/tag0").describe()
    assert "QuickGELU" in described
    assert "interpolation bilinear, resize_mode squash" in described


def test_a_start_says_what_runs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = write_folder(tmp_path / "folder", config(), SIGLIP)
    with caplog.at_level(logging.INFO, "saft_core.clip"):
        base = load_base(folder)
    (told,) = caplog.messages
    size, mean = "size [32, 32]", "mean [0.5, 0.5, 0.5]"
    for words in ("folder", base.fingerprint[:12], "GELU", "on cpu", size, mean, "bilinear", "squash"):
        assert words in told


def loading_fails(spec: str) -> str:
    with pytest.raises(Unavailable) as caught:
        load_base(spec)
    assert spec in caught.value.message
    assert "\n" not in caught.value.message
    return caught.value.message


@pytest.mark.parametrize(
    ("model_cfg", "preprocess_cfg", "words"),
    [
        (config(text_cfg__vocab_size=1000), {}, "tokenizer's words go up to 49408, its model's up to 1000"),
        (config(text_cfg__tokenizer_kwargs={"clean": "no"}), {}, "clean"),
        (config(), {"resize_mode": "squeeze"}, "resize_mode"),
        (config(), {"mean": "x"}, "dimensions"),
        ({"embed_dim": 16}, {}, "text_cfg"),
        (config(no_such_key=1), {}, "no_such_key"),
    ],
)
def test_a_wrong_configuration_is_a_line(
    tmp_path: Path, model_cfg: dict[str, Any], preprocess_cfg: dict[str, Any], words: str
) -> None:
    text = config(text_cfg__vocab_size=model_cfg.get("text_cfg", {}).get("vocab_size", 49408))
    assert words in loading_fails(write_folder(tmp_path / "folder", model_cfg, preprocess_cfg, model=clip(**text)))


def test_a_wrong_card_is_a_line(tmp_path: Path) -> None:
    assert "rate" in loading_fails(write_folder(tmp_path / "folder", config(), card={"defaults": {"rate": 1}}))


def test_weights_that_give_no_numbers_are_refused(tmp_path: Path) -> None:
    model = clip()
    model.visual.proj.data[0, 0] = torch.nan
    assert "no numbers" in loading_fails(write_folder(tmp_path / "folder", config(), model=model))


def test_a_tokenizer_of_hugging_face_names_the_extra_that_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    folder = write_folder(tmp_path / "folder", config(text_cfg__hf_tokenizer_name="org/words"), model=clip())
    assert "org/words, which needs transformers" in loading_fails(folder)
    for spec in ("ViT-B-16-SigLIP/webli", "xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k"):
        assert "pip install 'saft[hf]'" in loading_fails(spec)


def test_a_folder_without_its_tokenizer_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "HF_PACKAGES", ())
    monkeypatch.setattr("saft_core.clip.hub._answers", lambda: False)
    folder = write_folder(tmp_path / "folder", config(text_cfg__hf_tokenizer_name="org/words"), model=clip())
    assert "org/words; put its files (tokenizer.json) into the folder" in loading_fails(folder)


@pytest.mark.hf
def test_a_folder_with_a_tokenizer_of_hugging_face_is_loaded(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers  # noqa: PLC0415
    from transformers import PreTrainedTokenizerFast  # noqa: PLC0415

    words = {word: number for number, word in enumerate(["<pad>", "<unk>", "a", "cat", "dog", "photo", "of"])}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>", unk_token="<unk>")
    model_cfg = config(text_cfg__hf_tokenizer_name="org/words", text_cfg__vocab_size=7, text_cfg__pool_type="last")
    folder = write_folder(tmp_path / "folder", model_cfg, model=clip(**config(text_cfg__vocab_size=7)))
    wrapped.save_pretrained(folder)
    base = load_base(folder)
    assert base.tokenize(["a photo of a dog"]).tolist() == [[2, 5, 6, 2, 4] + [0] * (CONTEXT_LENGTH - 5)]


@pytest.mark.hf
def test_an_empty_vocabulary_is_refused(tmp_path: Path) -> None:
    """Which is what transformers makes of a folder without the vocabulary's file."""
    model_cfg = config(text_cfg__hf_tokenizer_name="org/words")
    folder = write_folder(tmp_path / "folder", model_cfg, model=clip())
    (Path(folder) / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "T5Tokenizer"}))
    assert "reads 'cat' and 'dog' alike" in loading_fails(folder)


def test_a_captioner_is_loaded(tmp_path: Path) -> None:
    model_cfg = config(
        custom_text=True,
        multimodal_cfg={"context_length": CONTEXT_LENGTH, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
        vision_cfg__attentional_pool=True, vision_cfg__attn_pooler_heads=2, vision_cfg__output_tokens=True,
        text_cfg__embed_cls=True, text_cfg__output_tokens=True,
    )  # fmt: skip
    made = {key: value for key, value in model_cfg.items() if key != "custom_text"}
    model = open_clip.coca_model.CoCa(**json.loads(json.dumps(made))).eval()
    base = load_base(write_folder(tmp_path / "folder", model_cfg, model=model))
    pixels, tokens = base.pixels(pictures(2)), base.tokens(["a cat", "a photo of a dog"])
    with torch.no_grad():
        torch.testing.assert_close(base.encode_pixels(pixels), model.encode_image(pixels))
        torch.testing.assert_close(base.encode_tokens(tokens), model.encode_text(tokens))


def test_the_device_is_checked_by_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto") == pick_device("cpu") == torch.device("cpu")
    for name, words in {
        "gpu": "no device",
        "meta": "not supported",
        "cuda": "finds 0 GPUs",
        "cuda:1": "finds 0",
    }.items():
        with pytest.raises(Unavailable, match=f"SAFT_DEVICE='{name}'.*{words}"):
            load_base("", name)


def test_a_gpu_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert pick_device("auto") == pick_device("cuda") == torch.device("cuda")
    assert pick_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(Unavailable, match="finds 2 GPUs"):
        pick_device("cuda:2")


def test_a_base_can_be_trained_after_it_was_checked(tmp_path: Path) -> None:
    base: Base = load_base(write_folder(tmp_path / "folder", config()))
    base.encode_pixels(base.pixels(pictures(1))).sum().backward()
    assert any(parameter.grad is not None for parameter in base.model.parameters())
