"""The base's towers in the inference runtimes that a CPU would be served with otherwise: onnxruntime and OpenVINO.

Each gets its fastest exact form: float32, compiled for the one batch size that is measured, with as many threads as
torch. onnxruntime's threads spin within a run, which is its default and its fastest, and stop when the run ends, or
they would take the cores of whatever is measured next. OpenVINO's are pinned to no core. It would compute in bfloat16
by itself on a processor that has it: it is told not to, and asked whether it does not.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from saft_core import quiet_openvino
from saft_core.clip import image_tower
from saft_core.clip.backbone import Base

INPUT = "inputs"
BATCH = "batch"
TOLERANCE = 1e-4
"""How far an entry of a unit embedding may be from the base's own."""
Array = npt.NDArray[Any]
Encode = Callable[[Array], npt.NDArray[np.float32]]
"""Unit embeddings float32 (N, embed_dim) of pixels float32 (N, 3, size, size), or of tokens int64 (N, L).

OpenVINO's lie in memory that its next call writes anew.
"""


class ImageTower(nn.Module):
    """Pixels float32 (N, 3, size, size) to unit embeddings, in the form that the product exports to ONNX."""

    def __init__(self, base: Base) -> None:
        super().__init__()
        self.model = copy.deepcopy(base.model)

    def forward(self, pixels: Tensor) -> Tensor:
        """Of a batch of any size."""
        return image_tower.encode(self.model, pixels)


class TextTower(nn.Module):
    """Tokens int64 (N, length) to unit embeddings, of a CLIP whose prompts may be cut to `length`."""

    def __init__(self, base: Base, length: int) -> None:
        super().__init__()
        model: Any = copy.deepcopy(base.model)
        model.positional_embedding = nn.Parameter(model.positional_embedding[:length].clone())
        model.attn_mask = model.attn_mask[:length, :length].clone()
        self.model = model

    def forward(self, tokens: Tensor) -> Tensor:
        """Of a batch of any size."""
        features: Tensor = self.model.encode_text(tokens, normalize=True)
        return features


def export(tower: nn.Module, inputs: Tensor, file: Path) -> None:
    """Write `tower` as ONNX for batches of any size, traced with `inputs`, of which it takes at most two rows.

    Raises torch.onnx.OnnxExporterError for a tower that has no ONNX form.
    """
    example = inputs[:1].expand(2, *inputs.shape[1:]).contiguous()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            tower.requires_grad_(False).eval(),
            (example,),
            dynamo=True,
            verbose=False,
            input_names=[INPUT],
            output_names=["embeddings"],
            dynamic_shapes=({0: torch.export.Dim(BATCH)},),
        )
    assert program is not None  # noqa: S101 (for the type checker)
    program.save(file, external_data=False)


def in_onnxruntime(file: Path, shape: tuple[int, ...], threads: int) -> Encode:
    """The tower of `file` in onnxruntime, for inputs of `shape`."""
    import onnxruntime  # noqa: PLC0415 (an extra)

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.add_session_config_entry("session.force_spinning_stop", "1")
    options.add_free_dimension_override_by_name(BATCH, shape[0])
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, {INPUT: inputs})[0]


def in_openvino(file: Path, shape: tuple[int, ...], threads: int) -> Encode:
    """The tower of `file` in OpenVINO, for inputs of `shape`. Raises what `openvino_model` raises."""
    request = openvino_model(file, shape, threads).create_infer_request()
    return lambda inputs: request.infer([inputs], share_inputs=True, share_outputs=True)[0]


def openvino_model(file: Path, shape: tuple[int, ...], threads: int) -> Any:
    """The compiled model for inputs of `shape`. Raises RuntimeError if it would not compute in float32."""
    openvino: Any = quiet_openvino.load()
    core = openvino.Core()
    model = core.read_model(file)
    model.reshape(list(shape))
    wanted = {
        "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": threads, "ENABLE_CPU_PINNING": False,
        "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
    }  # fmt: skip
    made = core.compile_model(model, "CPU", wanted)
    if (precision := made.get_property("INFERENCE_PRECISION_HINT")) != openvino.Type.f32:
        raise RuntimeError(f"OpenVINO would compute in {precision}, not in float32")
    return made


RUNTIMES: Mapping[str, Callable[[Path, tuple[int, ...], int], Encode]] = {
    "onnxruntime": in_onnxruntime, "openvino": in_openvino,
}  # fmt: skip


def compiled(file: Path, inputs: Array, expected: Tensor) -> dict[str, tuple[Encode, float]]:
    """By runtime: the tower of `file` for inputs like these, and the most that an entry differs from `expected`.

    Raises RuntimeError if that is more than TOLERANCE.
    """
    found = {}
    for name, load in RUNTIMES.items():
        encode = load(file, inputs.shape, torch.get_num_threads())
        off = float(np.abs(encode(inputs) - expected.numpy()).max())
        if not off <= TOLERANCE:
            raise RuntimeError(f"{name}'s embeddings differ from the base's by {off:.1e}, more than {TOLERANCE:.0e}")
        found[name] = (encode, off)
    return found
