"""From `SAFT_BASE` to a base in memory; `specs.py` lists what may be named."""

from __future__ import annotations

import importlib.util
import json
import logging
import pickle
import textwrap
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.factory import _find_checkpoint_in_dir
from open_clip.pretrained import download_pretrained_from_hf
from PIL import Image
from torch import Tensor, nn

from saft_core.clip import hub, specs, variant, weights
from saft_core.clip.backbone import Base, Card
from saft_core.clip.blueprint import Blueprint
from saft_core.clip.specs import Source
from saft_core.clip.variant import Variant
from saft_core.errors import Unavailable
from saft_core.training_options import TrainingDefaults

CARD_FILE = "base.json"
HF_PACKAGES = ("transformers", "sentencepiece")
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
MAX_REASON_CHARACTERS = 600

logger = logging.getLogger(__name__)


def load_base(spec: str, device: str = "cpu") -> Base:
    """Load the base named by `spec` in float32, and log in one line what it is.

    Raises Unavailable, naming the spec and the reason, when it cannot be loaded.
    """
    where = pick_device(device)
    try:
        base = _load(specs.parse(spec), where)
        logger.info("base %s", base.describe())
    except Exception as error:
        raise Unavailable(f"SAFT_BASE={spec!r} cannot be loaded: {_reason(error)}") from error
    return base


def pick_device(name: str) -> torch.device:
    """The device named by the setting `SAFT_DEVICE`; 'auto' is cuda where there is one.

    Raises Unavailable if there is no such device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise Unavailable(f"SAFT_DEVICE={name!r} is no device; give auto, cpu or cuda") from error
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device.type not in ("cpu", "cuda"):
        raise Unavailable(f"SAFT_DEVICE={name!r} is not supported; give auto, cpu or cuda")
    if device.type == "cuda" and (device.index or 0) >= count:
        raise Unavailable(
            f"SAFT_DEVICE={name!r}, and torch finds {count} GPUs; set SAFT_DEVICE to cpu, or mend the driver"
        )
    return device


def _load(source: Source, device: torch.device) -> Base:
    with hub.reached() if _may_ask_the_hub(source) else nullcontext():
        _check_tokenizer(source)
        model, preprocess, blueprint = _model(source)
        tokenize = open_clip.get_tokenizer(source.model, **_tokenizer_files(source))
    card = _read_card(source.folder)
    defaults = TrainingDefaults(**card.get("defaults", {}))
    base = Base(
        model,
        preprocess,
        tokenize,
        name=str(card.get("name", source.name)),
        defaults=defaults,
        device=device,
        blueprint=blueprint,
        card=Card(card.get("suits"), embedded=source.folder == specs.EMBEDDED_FOLDER),
    )
    _check(base)
    return base


def _may_ask_the_hub(source: Source) -> bool:
    return source.kind in ("hub", "tag") or bool(_from_hugging_face(source))


def _from_hugging_face(source: Source) -> list[str]:
    """The tokenizer and text model of Hugging Face that the model's configuration names."""
    text: dict[str, Any] = (open_clip.get_model_config(source.model) or {}).get("text_cfg", {})
    return [text[key] for key in ("hf_tokenizer_name", "hf_model_name") if text.get(key)]


def _check_tokenizer(source: Source) -> None:
    """Raise ValueError if the tokenizer is one of Hugging Face and its package is missing, or its files in a folder."""
    names = _from_hugging_face(source)
    if not names:
        return
    if missing := [package for package in HF_PACKAGES if importlib.util.find_spec(package) is None]:
        raise ValueError(f"it reads words with {names[0]}, which needs {' and '.join(missing)}: pip install 'saft[hf]'")
    if source.folder and not any((source.folder / name).is_file() for name in TOKENIZER_FILES):
        raise ValueError(
            f"its configuration names the tokenizer {names[0]}; put its files (tokenizer.json) into the folder"
        )


def _tokenizer_files(source: Source) -> dict[str, str]:
    """Where a folder's own vocabulary lies: open_clip would look for it where the process was started."""
    text: dict[str, Any] = (open_clip.get_model_config(source.model) or {}).get("text_cfg", {})
    named = text.get("tokenizer_kwargs", {}).get("bpe_path")
    return {"bpe_path": str(source.folder / named)} if named and source.folder else {}


def _blueprint(source: Source, *, quick_gelu: bool) -> Blueprint:
    """What open_clip is about to build the model from; with the files of a folder that its tokenizer needs."""
    model_cfg: dict[str, Any] = open_clip.get_model_config(source.model) or {}
    files = {}
    for key, path in _tokenizer_files(source).items():
        files[Path(path).name] = Path(path).read_bytes()
        model_cfg["text_cfg"]["tokenizer_kwargs"][key] = Path(path).name
    return Blueprint(model_cfg | ({variant.QUICK: True} if quick_gelu else {}), files)


def _model(source: Source) -> tuple[nn.Module, Callable[[Image.Image], Tensor], Blueprint]:
    """The model in float32 with its checkpoint's weights, all of them and no others, and the preprocessing it wants."""
    checkpoint = _checkpoint(source)
    is_openai = weights.is_torchscript(checkpoint)
    chosen = weights.OPENAI_VARIANT if is_openai else _variant(source)
    for doubt in chosen.doubts:
        logger.warning("SAFT_BASE=%s: %s", source.name, doubt)
    with weights.openai_checkpoint(checkpoint) if is_openai else nullcontext(checkpoint) as readable:
        model, preprocess = open_clip.create_model_from_pretrained(
            source.model,
            pretrained=None if source.kind in ("hub", "folder") else str(readable),
            precision="fp32",
            force_quick_gelu=chosen.quick_gelu,
            **{f"image_{key}": value for key, value in chosen.preprocessing.items()},
        )
        for note in weights.resized(model, readable):
            logger.warning("SAFT_BASE=%s: %s, for the file was made with another size", source.name, note)
    return model, preprocess, _blueprint(source, quick_gelu=chosen.quick_gelu)


def _checkpoint(source: Source) -> Path:
    """Where the weights are, downloaded if need be."""
    if source.kind == "tag":
        return Path(open_clip.download_pretrained(open_clip.get_pretrained_cfg(source.model, source.tag)))
    if source.kind == "hub":
        return Path(download_pretrained_from_hf(source.model.removeprefix(specs.HUB_PREFIX)))
    return source.file or Path(_find_checkpoint_in_dir(source.folder))


def _variant(source: Source) -> Variant:
    if source.kind == "tag":
        return variant.of_tag(source.model, str(source.tag))
    if source.kind == "file":
        return variant.of_file(source.model)
    if source.folder:
        return variant.of_config(json.loads((source.folder / specs.CONFIG_FILE).read_text("utf-8")))
    return Variant(False, {})  # as the repository's configuration says


def _read_card(folder: Path | None) -> dict[str, Any]:
    card = folder / CARD_FILE if folder else None
    content: dict[str, Any] = json.loads(card.read_text("utf-8")) if card and card.is_file() else {}
    return content


@torch.no_grad()
def _check(base: Base) -> None:
    """Raise ValueError if the tokenizer does not fit the model, or the weights give no numbers."""
    tokens = base.tokenize(["cat", "dog"])
    if torch.equal(tokens[0], tokens[1]):
        raise ValueError("its tokenizer reads 'cat' and 'dog' alike; its vocabulary is missing")
    tower: Any = getattr(base.model, "text", base.model)
    for what, given, limit in (
        ("context", tokens.shape[1], tower.context_length),
        ("words", tokens.max() + 1, tower.vocab_size),
    ):
        if given > limit > 0:  # a text model of Hugging Face may have no limit: 0
            raise ValueError(f"its tokenizer's {what} go up to {int(given)}, its model's up to {limit}")
    picture = base.encode_pixels(base.pixels([Image.new("RGB", (64, 48))]))
    if not (picture.isfinite().all() and base.encode_texts(["cat"]).isfinite().all()):
        raise ValueError("its weights give embeddings that are no numbers")


def _reason(error: Exception) -> str:
    """Why it failed, in one line."""
    if isinstance(error, pickle.UnpicklingError):
        return (
            "its file is damaged or holds more than tensors, which is not unpickled; save the state dict as safetensors"
        )
    said = " ".join(str(error).split())
    if isinstance(error, LookupError) or not said:  # an assertion of open_clip's has no words but its line
        said = f"{type(error).__name__} {said} at {traceback.extract_tb(error.__traceback__)[-1].line}"
    return textwrap.shorten(said, MAX_REASON_CHARACTERS, placeholder=" ...")
