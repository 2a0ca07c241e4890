"""Checkpoint files: what can be told of one before open_clip reads it, and OpenAI's own kind made readable.

No file is unpickled: open_clip reads PyTorch's format with `weights_only`, and a TorchScript archive is read by
`torch.jit.load`, which knows tensors and TorchScript's own classes only.
"""

from __future__ import annotations

import tempfile
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from saft_core.clip.variant import Variant

OPENAI_NUMBERS = ("input_resolution", "context_length", "vocab_size")
OPENAI_VARIANT = Variant(quick_gelu=True, preprocessing={})  # open_clip's defaults of preprocessing are OpenAI's
POSITIONS = "positional_embedding"


def is_torchscript(path: Path) -> bool:
    """Whether `path` is a TorchScript archive, the form in which OpenAI published CLIP."""
    if path.suffix == ".safetensors" or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


@contextmanager
def openai_checkpoint(path: Path) -> Iterator[Path]:
    """OpenAI's TorchScript archive `path` as a safetensors file, which lasts as long as the context.

    Raises ValueError if the archive is not one of OpenAI's.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # TorchScript is deprecated; the archives are what they are
        state: dict[str, Tensor] = torch.jit.load(path, map_location="cpu").state_dict()
    if not set(OPENAI_NUMBERS) <= set(state):
        raise ValueError(f"{path} is a TorchScript archive and not OpenAI's; save its state dict as safetensors")
    tensors = {name: value.contiguous() for name, value in state.items() if name not in OPENAI_NUMBERS}
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "openai.safetensors"
        save_file(tensors, written)
        yield written


def resized(model: nn.Module, path: Path) -> list[str]:
    """For people: the positional embeddings of `model` that open_clip made from ones of another length in `path`."""
    stored = _lengths(path)
    found = []
    for name, parameter in model.named_parameters():
        before = stored.get(name, stored.get(name.removeprefix("text.")))
        if name.endswith(POSITIONS) and before not in (None, len(parameter)):
            found.append(f"{name} was interpolated from {before} to {len(parameter)} positions")
    return found


def _lengths(path: Path) -> Mapping[str, int]:
    """Positions of each positional embedding in the file, by name; nothing where it cannot be read a part at a time."""
    if path.suffix == ".safetensors":
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.endswith(POSITIONS)]  # noqa: SIM118 (it is no mapping)
            return {name: file.get_slice(name).get_shape()[0] for name in names}
    if not zipfile.is_zipfile(path) or path.suffix == ".npz":
        return {}
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    state = content.get("state_dict", content)
    return {name.removeprefix("module."): len(value) for name, value in state.items() if name.endswith(POSITIONS)}
