"""Which activation and which preprocessing a checkpoint file wants, for the file does not say.

open_clip's registry knows both for each of its pretrained tags. What all tags of a model agree on holds for a file of
that model too: every `ViT-L-14-336` wants QuickGELU, every SigLIP squashed images. Where they differ somebody must say.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Any

import open_clip

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode")
QUICK = "quick_gelu"
QUICK_SUFFIX = "-quickgelu"


@dataclass(frozen=True)
class Variant:
    """How a model is built and fed. preprocessing: open_clip's keys, those left out being open_clip's defaults.

    doubts: for people, what had to be chosen without knowing, and how to choose otherwise.
    """

    quick_gelu: bool
    preprocessing: dict[str, Any]
    doubts: tuple[str, ...] = ()


def of_tag(model: str, tag: str) -> Variant:
    """The variant that the registry gives for the pretrained `tag` of `model`."""
    config = open_clip.get_pretrained_cfg(model, tag)
    return Variant(bool(config.get(QUICK)), {key: config[key] for key in PREPROCESSING if key in config})


def of_config(config: dict[str, Any]) -> Variant:
    """The variant of a folder with this `open_clip_config.json`, which open_clip reads; a doubt where it is silent."""
    missing = [key for key in PREPROCESSING if key not in config.get("preprocess_cfg", {})]
    doubt = f"its open_clip_config.json gives no {', '.join(missing)} under preprocess_cfg: took OpenAI's"
    return Variant(False, {}, (doubt,) if missing else ())


def of_file(model: str) -> Variant:
    """The variant that all pretrained tags of `model` agree on; where they differ the usual one, with a doubt."""
    variants = [of_tag(model, tag) for tag in open_clip.list_pretrained_tags_by_model(model)]
    if not variants:
        given = "QuickGELU" if _asks_for_quick_gelu(model) else "the activation of the model's name"
        return Variant(False, {}, (f"no tag to tell by: took {given} and OpenAI's preprocessing; {_OTHERWISE}",))
    doubts = []
    preprocessing = {}
    for key in PREPROCESSING:
        counts = Counter(variant.preprocessing[key] for variant in variants)
        preprocessing[key] = counts.most_common(1)[0][0]
        if len(counts) > 1:
            doubts.append(f"its tags differ in {key} ({_listed(counts)}): took {preprocessing[key]}; {_OTHERWISE}")
    activations = Counter("QuickGELU" if variant.quick_gelu else "GELU" for variant in variants)
    if len(activations) > 1 and not _asks_for_quick_gelu(model):
        doubts.insert(0, f"its tags differ in the activation ({_listed(activations)}): took GELU; {_quick_one(model)}")
    return Variant(set(activations) == {"QuickGELU"}, preprocessing, tuple(doubts))


_OTHERWISE = "a folder with open_clip_config.json says otherwise"


def _asks_for_quick_gelu(model: str) -> bool:
    return bool((open_clip.get_model_config(model) or {}).get(QUICK))


def _quick_one(model: str) -> str:
    name = model + QUICK_SUFFIX
    return f"{name}//file takes QuickGELU" if name in open_clip.list_models() else _OTHERWISE


def _listed(counts: Counter[Any]) -> str:
    return ", ".join(f"{value}: {count}" for value, count in counts.most_common())
