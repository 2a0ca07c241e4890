"""An adapter as a folder that open_clip loads: `create_model_and_transforms("local-dir:FOLDER")`."""

from __future__ import annotations

import inspect
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO, Any

import numpy as np
from open_clip.tokenizer import HFTokenizer, SimpleTokenizer

from saft_core.clip import image_tower, prompts
from saft_core.clip.backbone import Base
from saft_core.clip.blueprint import Blueprint
from saft_core.clip.specs import CONFIG_FILE
from saft_core.errors import ExportUnsupported
from saft_core.export import answers
from saft_core.export.answers import LABELS_FILE, WEIGHTS_FILE, WORDS_FILE
from saft_core.export.description import Description
from saft_core.export.weights import Merged, write_weights

PREPROCESSING = ("mean", "std", "interpolation", "resize_mode", "fill_color")
"""What open_clip reads of it; the size comes of the model."""
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o644 << 16

Sink = Callable[[str], AbstractContextManager[IO[bytes]]]
"""Opens a file of a folder, by its name, for writing."""


def blueprint_of(base: Base) -> Blueprint:
    """What open_clip builds the base from. Raises ExportUnsupported where that would be another model."""
    if base.blueprint is None:
        raise ExportUnsupported("open_clip did not build this base from a configuration, so it cannot build it again")
    if not isinstance(base.tokenize, SimpleTokenizer | HFTokenizer):
        raise ExportUnsupported("the base reads words by a tokenizer that open_clip does not load from a folder")
    return base.blueprint


def write_zip(file: IO[bytes], root: str, merged: Merged, description: Description) -> None:
    """The folder, called `root`, in a zip file: stored, for weights do not compress. The same bytes each time."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:

        def opened(name: str) -> IO[bytes]:
            member = zipfile.ZipInfo(f"{root}/{name}", _DATE)
            member.external_attr = _MODE
            return archive.open(member, "w", force_zip64=True)

        write_folder(opened, merged, description)


def write_folder(sink: Sink, merged: Merged, description: Description) -> None:
    """Write all files of the folder. Raises ExportUnsupported, and what reading the base raises."""
    base = merged.base
    blueprint = blueprint_of(base)
    about = description.about(base)
    with sink(WEIGHTS_FILE) as file:
        write_weights(file, merged)
    known = {name: value for name, value in about["preprocessing"].items() if name in PREPROCESSING}
    config = {
        "model_cfg": blueprint.model_cfg,
        "preprocess_cfg": {name: value for name, value in known.items() if value is not None},
    }
    words = io.BytesIO()
    np.save(words, description.words, allow_pickle=False)
    files: dict[str, bytes] = {
        CONFIG_FILE: _json(config),
        LABELS_FILE: _json(about),
        WORDS_FILE: words.getvalue(),
        "README.md": _readme(about).encode(),
    }
    for name, content in (files | dict(_code()) | dict(blueprint.files) | dict(_tokenizer_files(base))).items():
        with sink(name) as file:
            file.write(content)


def _json(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=2, ensure_ascii=False).encode()


def _code() -> Iterator[tuple[str, bytes]]:
    """The modules that make the service's answers, with each other as neighbours."""
    for module in (answers, image_tower, prompts):
        source = inspect.getsource(module).replace("from saft_core.clip import ", "import ")
        yield f"{module.__name__.rpartition('.')[2]}.py", source.encode()


def _tokenizer_files(base: Base) -> Iterator[tuple[str, bytes]]:
    """Those of a tokenizer of Hugging Face, which open_clip looks for in the folder."""
    if isinstance(base.tokenize, HFTokenizer):
        with tempfile.TemporaryDirectory() as folder:
            base.tokenize.tokenizer.save_pretrained(folder)
            for path in sorted(Path(folder).iterdir()):
                yield path.name, path.read_bytes()


def _readme(about: Mapping[str, Any]) -> str:
    return f"""# A CLIP model, fine-tuned

Base {about["base"]} with an adapter's weights merged in at strength {about["strength"]:g}, in float32.

    model, _, preprocess = open_clip.create_model_and_transforms("local-dir:PATH OF THIS FOLDER")

`python answers.py picture.png` prints what the picture shows, as the service says it; `answers.py` shows how, and needs
open_clip alone. `labels.json` has the classes, their prompts, the preprocessing, and the calibration of the answers;
`words.npy` the embeddings of words for other things, by which `unknown` is told.
"""
