"""What `SAFT_BASE` may name, told apart before anything is loaded.

""                        the embedded base that comes with the product
ViT-B-16/openai           an open_clip model name and pretrained tag
ViT-B-16//path/to/file    an open_clip model name and a checkpoint file
hf-hub:org/name           a repository on the Hugging Face hub that holds open_clip_config.json and weights
/path/to/folder           a folder that holds them
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import open_clip

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
CONFIG_FILE = "open_clip_config.json"
HUB_PREFIX = "hf-hub:"
FOLDER_PREFIX = "local-dir:"
WEIGHT_SUFFIXES = (".safetensors", ".pt", ".pth", ".bin", ".npz")
FOLDER_SUFFIXES = (".safetensors", ".pth", ".bin")  # what open_clip looks for in a folder
NEAREST = 5


@dataclass(frozen=True)
class Source:
    """Where a base comes from.

    name: for people. model: the name open_clip builds it by. tag or file: its weights, if `model` names none.
    """

    kind: Literal["folder", "hub", "tag", "file"]
    name: str
    model: str
    tag: str | None = None
    file: Path | None = None
    folder: Path | None = None


def parse(spec: str) -> Source:
    """What `spec` names. Raises ValueError, saying what to write instead, where it names nothing there is."""
    if spec.startswith(HUB_PREFIX):
        return Source("hub", spec, spec)
    folder = EMBEDDED_FOLDER if spec in ("", "embedded") else Path(spec.removeprefix(FOLDER_PREFIX))
    if folder.is_dir():
        return _folder(folder)
    if _is_path(spec):
        raise ValueError(_lone_file(folder) if folder.is_file() else f"there is no folder or file {folder}")
    return _named(spec)


def _folder(folder: Path) -> Source:
    if not (folder / CONFIG_FILE).is_file():
        raise ValueError(f"{folder} holds no {CONFIG_FILE}, which says what model its weights are of")
    if not any(file.suffix in FOLDER_SUFFIXES for file in folder.iterdir()):
        raise ValueError(f"{folder} holds no weights; open_clip_model.safetensors is their name")
    return Source("folder", folder.name, f"{FOLDER_PREFIX}{folder}", folder=folder)


def _is_path(spec: str) -> bool:
    """Whether `spec` can only be meant as a path: no model name of open_clip looks so."""
    model = spec.partition("/")[0]
    has_weights_name = spec.endswith(WEIGHT_SUFFIXES) and model not in open_clip.list_models()
    return spec.startswith(("/", ".", "~", FOLDER_PREFIX)) or has_weights_name


def _lone_file(file: Path) -> str:
    return (
        f"{file} holds weights and does not say of what model; write its open_clip name before it, such as"
        f" ViT-B-16/{file.absolute()}, or give a folder that holds it beside {CONFIG_FILE}"
    )


def _named(spec: str) -> Source:
    model, _, rest = spec.partition("/")
    if model not in open_clip.list_models():
        near = _nearest(model, open_clip.list_models())
        raise ValueError(f"there is no folder {spec}, and open_clip has no model {model!r}; nearest are {near}")
    tags = open_clip.list_pretrained_tags_by_model(model)
    if not rest:
        raise ValueError(f"give a tag or a file too, such as {model}/{tags[0] if tags else '/path/to/file'}")
    if open_clip.is_pretrained_cfg(model, rest):
        return Source("tag", spec, model, tag=rest)
    if Path(rest).is_file():
        return Source("file", spec, model, file=Path(rest))
    if "/" in rest or rest.endswith(WEIGHT_SUFFIXES):
        raise ValueError(f"there is no file {rest}")
    known = f"nearest are {_nearest(rest, tags)}" if tags else f"it has none; give a file: {model}//path/to/file"
    raise ValueError(f"open_clip has no tag {rest!r} of {model}; {known}")


def _nearest(word: str, words: Iterable[str]) -> str:
    """The few of `words` that look most like `word`, separated by commas."""
    by_lower_case = {other.lower(): other for other in words}
    matches = get_close_matches(word.lower(), by_lower_case, n=NEAREST, cutoff=0)
    return ", ".join(by_lower_case[match] for match in matches)
