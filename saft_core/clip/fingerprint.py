"""Who a base is: one digest of all that decides its answers.

Two bases with one fingerprint give the same answers, so a delta of the one fits the other; and a checkpoint has one
fingerprint under all versions of open_clip that compute the same. So nothing is hashed that a library may add or rename
without effect: not the configuration with its defaults, but what the built modules do.

tensors        the parameters, and those buffers that a checkpoint holds
layers         the kind of each innermost layer, and the traits below of each layer where they are set
preprocessing  size, mean, std, interpolation, resize mode, fill colour
tokenizer      the tokens of a few texts, the vocabulary
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import Any

import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from open_clip.utils import to_2tuple
from torch import Tensor, nn

VERSION = 2

TRAITS = (
    # attention
    "num_heads", "num_attention_heads", "n_heads", "scaled_cosine", "window_size", "shift_size", "is_causal",
    # normalisation and activation
    "eps", "variance_epsilon", "approximate", "negative_slope", "num_groups",
    # convolution and pooling
    "kernel_size", "stride", "padding", "dilation", "groups", "padding_mode", "ceil_mode", "count_include_pad",
    "output_size", "scale_factor",
    # what is pooled, and where
    "pool_type", "text_pool_type", "attn_pool_type", "global_pool", "pool", "final_ln_after_pool", "num_prefix_tokens",
    "no_embed_class", "eos_id", "text_eos_id", "pad_id", "padding_idx", "use_pad_mask", "correct_cls_mask",
    # rotary positions
    "temperature", "in_pixels", "feat_shape", "ref_feat_shape", "max_res",
)  # fmt: skip
"""Attributes that decide what a layer computes. One that is False, 0, empty or None counts as absent: libraries add
such ones for what they learn to do, and leave it off."""

INERT = (nn.Identity, nn.modules.dropout._DropoutNd)
INERT_NAMES = ("DropPath", "PatchDropout")

PROBES = (
    "", "cat", "a photo of a cat.", "A_Photo, of:  TWO Dogs!", "R&amp;D <b>", "naïve café", "狗和猫", "привет", "🐈 12",
    "it's",
)  # fmt: skip
"""Upper case, punctuation, entities, white space and scripts, in which tokenizers and their cleaning modes differ."""


def fingerprint(model: nn.Module, tokenize: Callable[[Sequence[str]], Tensor], parameters_sha256: str) -> str:
    """SHA-256, in hexadecimal, of all that decides the answers of `model`."""
    identity = {
        "version": VERSION,
        "parameters": parameters_sha256,
        "buffers": persistent_buffers(model),
        "layers": layers(model),
        "preprocessing": preprocessing(model),
        "tokenizer": tokenizer(tokenize),
    }
    return _sha256_of(identity)


def persistent_buffers(model: nn.Module) -> dict[str, str]:
    """SHA-256 of each buffer that a checkpoint holds, by name."""
    held = model.state_dict().keys()
    return {name: _sha256_of_tensor(buffer) for name, buffer in model.named_buffers() if name in held}


def layers(model: nn.Module) -> dict[str, dict[str, Any]]:
    """What each layer does, by its name: its kind, if no other layers are in it, and its traits."""
    described = {name: _describe(module) for name, module in model.named_modules() if not _is_inert(module)}
    return {name: description for name, description in described.items() if description}


def activations(model: nn.Module) -> list[str]:
    """The kinds of activation layers in `model`, sorted."""
    leaves = [module for module in model.modules() if _is_leaf(module)]
    return sorted(
        {_kind(m) for m in leaves if type(m).__module__ == "torch.nn.modules.activation" or "GELU" in _kind(m)}
    )


def preprocessing(model: Any) -> dict[str, Any]:
    """How pictures become pixels, as open_clip notes it on the image tower; empty if it did not."""
    given = getattr(getattr(model, "visual", None), "preprocess_cfg", None)
    if not given:
        return {}
    config = PreprocessCfg(**merge_preprocess_dict(PreprocessCfg(), given))
    return {
        "size": list(to_2tuple(config.size)),
        "mean": _of_three_channels(config.mean),
        "std": _of_three_channels(config.std),
        "interpolation": "bilinear" if config.interpolation == "bilinear" else "bicubic",
        "resize_mode": config.resize_mode,
        "fill_color": config.fill_color if config.resize_mode == "longest" else None,  # nothing else is padded
    }


def tokenizer(tokenize: Callable[[Sequence[str]], Tensor]) -> dict[str, Any]:
    """The tokens of a few texts, which show the context length and the cleaning too, and a digest of the vocabulary."""
    return {"tokens": tokenize(list(PROBES)).tolist(), "vocabulary": _sha256_of(vocabulary(tokenize))}


def vocabulary(tokenize: Any) -> dict[str, int]:
    """Words to numbers of one of open_clip's tokenizers."""
    wrapped = getattr(tokenize, "tokenizer", None)
    words: dict[str, int] = wrapped.get_vocab() if wrapped is not None else getattr(tokenize, "encoder", {})
    return words


def _describe(module: nn.Module) -> dict[str, Any]:
    traits = {name: value for name in TRAITS if (value := _plain(getattr(module, name, None)))}
    if isinstance(mask := getattr(module, "attn_mask", None), Tensor):
        traits["mask"] = "causal" if _is_causal(mask) else _sha256_of_tensor(mask)
    if "eos" not in (traits.get("pool_type"), traits.get("text_pool_type")):
        traits = {name: value for name, value in traits.items() if not name.endswith("eos_id")}  # nobody reads it
    return {"kind": _kind(module), **traits} if _is_leaf(module) else traits


def _kind(module: nn.Module) -> str:
    """The class of a layer; for what torch and open_clip derive from a layer of torch without effect, that layer's."""
    own = type(module)
    if own.__module__.partition(".")[0] in ("torch", "open_clip"):
        own = next((kind for kind in own.__mro__ if getattr(nn, kind.__name__, None) is kind is not nn.Module), own)
    return own.__name__


def _is_leaf(module: nn.Module) -> bool:
    return next(module.children(), None) is None


def _is_inert(module: nn.Module) -> bool:
    is_empty = isinstance(module, nn.Sequential | nn.ModuleList) and not len(module)
    return is_empty or isinstance(module, INERT) or type(module).__name__ in INERT_NAMES


def _is_causal(mask: Tensor) -> bool:
    return bool(torch.equal(mask, torch.full_like(mask, -torch.inf).triu(1)))


def _plain(value: Any) -> Any:
    """`value` if it is a number, a text, or a list of such; None otherwise."""
    if isinstance(value, tuple | list):
        parts = [_plain(part) for part in value]
        return parts if any(parts) else None
    return value if isinstance(value, bool | int | float | str) else None


def _of_three_channels(value: Any) -> list[float]:
    return [float(part) for part in (value if isinstance(value, tuple | list) else [value] * 3)]


def _sha256_of(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=True).encode()).hexdigest()


def _sha256_of_tensor(tensor: Tensor) -> str:
    digest = hashlib.sha256(f"{list(tensor.shape)};{tensor.dtype};".encode())
    digest.update(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
