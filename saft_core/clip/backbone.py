"""The shared CLIP: an open_clip model, how it wants its pixels and words, and who it is.

A base is named by one text, the setting `SAFT_BASE`:

    ""                        the embedded base that comes with the product
    ViT-B-16/openai           an open_clip model name and pretrained tag (downloaded once by open_clip)
    ViT-B-16//path/to/file    an open_clip model name and a checkpoint file
    /path/to/folder           a folder with open_clip_config.json and weights
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import open_clip
import torch
from PIL import Image
from torch import Tensor, nn

from saft_core.clip import image_tower, prompts
from saft_core.clip.flat import FlatParameters, IndexArray
from saft_core.errors import Unavailable

Picture = Image.Image | Tensor
"""An RGB image, or what a base's `preprocess` made of it: float32 (3, size, size)."""
EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
CARD_FILE = "base.json"


@dataclass(frozen=True)
class TrainingDefaults:
    """What a training uses where the caller says nothing. The values here are the paper's; a base may bring its own."""

    density: float = 0.001
    learning_rate: float = 5e-6
    epochs: int = 20
    batch_size: int = 32
    weight_decay: float = 0.1
    template: str = "a photo of a {}."
    encoders: str = "both"


class Base:
    """A CLIP model in evaluation mode, its parameters in one flat buffer.

    Evaluation mode also holds during training: batch-norm statistics are the base's and belong to no tenant.
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Callable[[Image.Image], Tensor],
        tokenize: Callable[[Sequence[str]], Tensor],
        *,
        name: str,
        defaults: TrainingDefaults | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        self.name = name
        self.device = torch.device(device)
        self.model = model.to(self.device).eval()
        self.preprocess = preprocess
        self.tokenize = tokenize
        self.defaults = defaults or TrainingDefaults()
        self.flat = FlatParameters(self.model)

    @property
    def parameter_count(self) -> int:
        """D, the number of parameters."""
        return len(self.flat)

    @cached_property
    def embed_dim(self) -> int:
        """Length of an embedding."""
        return int(self.encode_texts(["x"]).shape[1])

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over names, shapes and bytes of all parameters and buffers, and the activation in use.

        Two bases with one fingerprint give the same answers, so a delta of the one fits the other.
        """
        digest = hashlib.sha256(self.flat.sha256().encode())
        for name, values in self.model.named_buffers():
            digest.update(f"{name}{list(values.shape)};".encode())
            digest.update(values.detach().cpu().contiguous().numpy().tobytes())
        digest.update(b"quick_gelu" if _uses_quick_gelu(self.model) else b"gelu")
        return digest.hexdigest()

    def count_by_block(self, indices: IndexArray) -> list[dict[str, Any]]:
        """Entries and selected entries of each block; see `FlatParameters.count_by_block`."""
        return self.flat.count_by_block(indices)

    @cached_property
    def image_side(self) -> int:
        """The longer side of the model's input, in pixels."""
        return max(self.preprocess(Image.new("RGB", (64, 64))).shape[1:])

    def pixels(self, images: Sequence[Picture]) -> Tensor:
        """Pictures to model input: float32 of shape (N, 3, size, size) on the base's device."""
        ready = [image if isinstance(image, Tensor) else self.preprocess(image) for image in images]
        return torch.stack(ready).to(self.device)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Unit image embeddings, float32 (N, embed_dim), of `pixels` float32 (N, 3, size, size)."""
        return image_tower.encode(self.model, pixels)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        """Unit text embeddings, float32 (N, embed_dim). Words beyond the context are cut: see labels.check_texts."""
        return self.encode_tokens(self.tokens(texts))

    def tokens(self, texts: Sequence[str]) -> Tensor:
        """Tokens, int64 (N, L), L being the length of the longest text where the model allows it."""
        return prompts.cut(self.model, self.tokenize(list(texts)).to(self.device))

    def encode_tokens(self, tokens: Tensor) -> Tensor:
        """Unit text embeddings, float32 (N, embed_dim), of what `tokens` gave."""
        return prompts.encode(self.model, tokens)

    @property
    def logit_scale(self) -> Tensor:
        """The factor on cosine similarities: CLIP's learned inverse temperature, a scalar tensor."""
        scale: Tensor = self.model.logit_scale.exp().reshape(())  # type: ignore[operator]
        return scale


def _uses_quick_gelu(model: nn.Module) -> bool:
    return any(type(module).__name__ == "QuickGELU" for module in model.modules())


def pick_device(name: str) -> torch.device:
    """The device named by the setting `SAFT_DEVICE`; 'auto' is cuda where there is one."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def load_base(spec: str, device: str = "cpu") -> Base:
    """Load the base named by `spec` (see above) in float32.

    Raises Unavailable, naming the spec and what open_clip said, when it cannot be loaded.
    """
    try:
        return _load(spec, pick_device(device))
    except (RuntimeError, ValueError, OSError) as error:
        raise Unavailable(f"SAFT_BASE={spec!r} cannot be loaded: {error}") from error


def _load(spec: str, device: torch.device) -> Base:
    folder = EMBEDDED_FOLDER if spec in ("", "embedded") else Path(spec)
    if folder.is_dir():
        card = _read_card(folder)
        model_name, tag = f"local-dir:{folder}", None
        name = str(card.get("name", folder.name))
    else:
        card = {}
        model_name, _, tag = spec.partition("/")
        name = spec
        if not tag:
            raise ValueError("give a model name and a tag, such as ViT-B-16/openai, or a folder")
    model, preprocess = open_clip.create_model_from_pretrained(
        model_name, pretrained=tag, precision="fp32", force_quick_gelu=_needs_quick_gelu(model_name, tag)
    )
    tokenize = open_clip.get_tokenizer(model_name)
    defaults = TrainingDefaults(**card.get("defaults", {}))
    return Base(model, preprocess, tokenize, name=name, defaults=defaults, device=device)


def _read_card(folder: Path) -> dict[str, Any]:
    card = folder / CARD_FILE
    content: dict[str, Any] = json.loads(card.read_text("utf-8")) if card.is_file() else {}
    return content


def _needs_quick_gelu(model_name: str, tag: str | None) -> bool:
    """Whether the tag's weights were trained with the fast GELU; open_clip only warns about the difference."""
    config = open_clip.get_pretrained_cfg(model_name, tag) if tag else None
    return bool(config and config.get("quick_gelu", False))
