"""The base's image tower as a graph of OpenVINO, compiled for the base itself or with an adapter merged.

OpenVINO (the extra `saft[openvino]`) plans a whole tower at once: weights are reordered when it is compiled, batch
norms become part of the convolutions before them, and no Python runs between two layers. EfficientNet-Lite0 takes a
seventh of the time for a lone picture that way, or less, and half for 32.
"""

from __future__ import annotations

import gc
import warnings
from collections.abc import Callable, Mapping
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from saft_core import quiet_openvino
from saft_core.clip import image_tower
from saft_core.clip.backbone import Base
from saft_core.clip.flat import Slot, tower_of
from saft_core.serving.encoder import IMAGE
from saft_core.serving.trials import inputs_of
from saft_core.sparse.batch_delta import Row
from saft_core.sparse.call import Unsupported

ROWS = 8
"""At most in one call. A compiled tower keeps the memory that its largest call took, and more rows take hardly less
time each: of EfficientNet-Lite0 1.42 ms in a call of 8 and 1.48 in one of 32, of ViT-B/32 20.1 and 19.6.
"""
ROW_BYTES = 5 << 20
"""Of memory for each row of a call, at least: EfficientNet-Lite0 takes so much, ViT-B/32 3.4 MB."""
PACKED_COPIES = 1.5
"""Of the weights in a compiled tower: what it reordered them into, by what it was measured to take."""
SMALL_BYTES = 64 << 20
"""Of weights. So small a tower has a plan of its own for lone pictures, which knows its sizes beforehand: a seventh of
the time of EfficientNet-Lite0, and a fiftieth of that of ViT-B/32, which has six times as many weights.
"""
FLOAT_BYTES = 4
Run = Callable[[Tensor], Tensor]
"""From pixels float32 (N, 3, size, size) to unit embeddings float32 (N, embed_dim)."""
Precision = Literal["float32", "bfloat16"]
"""What a compiled tower computes in. Its weights, and what it gives, are float32."""
HINT = "INFERENCE_PRECISION_HINT"
_TYPES: Mapping[Precision, str] = {"float32": "f32", "bfloat16": "bf16"}
"""As OpenVINO calls them."""
PREFIX = "self.model."
"""Of a parameter's name in the traced graph."""


class CompiledTower:
    """An image tower with its weights; one thread at a time calls it.

    nbytes: about what it takes in memory, without the weights that it shares with the graph.
    """

    def __init__(self, run: Run, run_lone: Run, nbytes: int) -> None:
        self._run, self._run_lone = run, run_lone
        self.nbytes = nbytes

    def __call__(self, pixels: Tensor) -> Tensor:
        """Unit embeddings float32 (N, embed_dim) of `pixels` float32 (N, 3, size, size).

        Raises RuntimeError for what OpenVINO cannot compute.
        """
        if len(pixels) <= ROWS:
            return (self._run_lone if len(pixels) == 1 else self._run)(pixels)
        return torch.cat([self._run(chunk) for chunk in pixels.split(ROWS)])


class TowerGraph:
    """The image tower of `base` with a copy of its weights, from which compiled towers are made by any thread.

    threads: of one call of a compiled tower.

    nbytes: what the copy takes. call_bytes: about what the largest call of each compiled tower takes, and keeps; to be
    set to what was measured.

    Make it while nothing is merged into the base. Raises Unsupported for a base that is not float32 on a CPU or has no
    such graph.
    """

    def __init__(self, base: Base, threads: int) -> None:
        if base.device.type != "cpu" or base.flat.buffer.dtype != torch.float32:
            raise Unsupported("it is not float32 on a CPU")
        self._openvino: Any = quiet_openvino.load()
        self._slots = base.flat.slots
        self._core = self._openvino.Core()
        self._options = {
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # other threads of the process use these cores too
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        }
        try:
            self._graph = _converted(base)
        except Exception as error:
            raise Unsupported(f"OpenVINO has no graph of it: {error}") from error
        self.nbytes = tower_bytes(base)
        self.call_bytes = ROWS * ROW_BYTES

    def compile(self, row: Row, precision: Precision = "float32") -> CompiledTower:
        """The tower with the delta of `row` merged, or of the base.

        Raises Unsupported for a delta of a parameter that is not found in the graph, and where the processor would not
        compute in this precision. A processor with bfloat16 would be used so unasked.
        """
        graph = self._graph.clone()
        self._merge(graph, row)
        run = run_lone = self._compiled(graph, precision)
        if _plans(self.nbytes) > 1:
            graph.reshape([1, *list(graph.inputs[0].get_partial_shape())[1:]])
            run_lone = self._compiled(graph, precision)
        return CompiledTower(run, run_lone, self.compiled_bytes(row))

    def _compiled(self, graph: Any, precision: Precision) -> Run:
        hint = getattr(self._openvino.Type, _TYPES[precision])
        compiled = self._core.compile_model(graph, "CPU", {**self._options, HINT: hint})
        if (given := compiled.get_property(HINT)) != hint:
            raise Unsupported(f"OpenVINO would compute in {given.get_type_name()} here, not in {precision}")
        request, tensor = compiled.create_infer_request(), self._openvino.Tensor

        def run(pixels: Tensor) -> Tensor:
            given = pixels.contiguous().numpy()  # it must live until the end of the call
            request.set_input_tensor(tensor(given, shared_memory=True))
            request.infer()
            return torch.from_numpy(request.get_output_tensor().data.copy())

        return run

    def compiled_bytes(self, row: Row) -> int:
        """About what the tower takes in memory that `compile` gives, beside the graph."""
        copied = FLOAT_BYTES * sum(slot.size for _, slot in self._changed(row))
        return copied + _packed_bytes(self.nbytes) + self.call_bytes

    def _changed(self, row: Row) -> list[tuple[int, Slot]]:
        """The image tower's parameters that the row's delta changes, by their positions in the base."""
        if row.delta is None:
            return []
        touched = np.flatnonzero(np.diff(row.delta.bounds)).tolist()
        return [(number, self._slots[number]) for number in touched if _is_visual(self._slots[number])]

    def _merge(self, graph: Any, row: Row) -> None:
        """Replace the constants that the row's delta changes."""
        if (delta := row.delta) is None:
            return
        constants = _constants(graph)
        positions, values = delta.positions.numpy(), delta.scaled(row.strength).numpy()
        for number, slot in self._changed(row):
            constant = constants.get(slot.name)
            if constant is None or tuple(constant.data.shape) != slot.shape:
                raise Unsupported(f"the graph has no {slot.name}")
            weights = np.array(constant.data)
            entries = slice(delta.bounds[number], delta.bounds[number + 1])
            weights.reshape(-1)[positions[entries] - slot.offset] += values[entries]
            constant.output(0).replace(self._openvino.op.Constant(weights, shared_memory=True).output(0))


def tower_bytes(base: Base) -> int:
    """Of the image tower's weights."""
    return FLOAT_BYTES * sum(slot.size for slot in base.flat.slots if _is_visual(slot))


def base_bytes(base: Base) -> int:
    """About what the graph takes in memory together with the base's own compiled tower."""
    nbytes = tower_bytes(base)
    return nbytes + _packed_bytes(nbytes) + ROWS * ROW_BYTES


def _plans(nbytes: int) -> int:
    """How many plans a tower of so many bytes is compiled to."""
    return 2 if nbytes <= SMALL_BYTES else 1


def _packed_bytes(nbytes: int) -> int:
    """What the plans of a tower of so many bytes reorder its weights into."""
    return _plans(nbytes) * int(PACKED_COPIES * nbytes)


def _is_visual(slot: Slot) -> bool:
    return tower_of(slot.name) == "image"


def _constants(graph: Any) -> dict[str, Any]:
    """The graph's constants by the name of the model's parameter."""
    return {
        operation.get_friendly_name().removeprefix(PREFIX): operation
        for operation in graph.get_ops()
        if operation.get_type_name() == "Constant"
    }


class _ImageTower(nn.Module):
    """What is traced: its parameters are named as the base's, behind PREFIX."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Tensor) -> Tensor:
        return image_tower.encode(self.model, pixels)


def _converted(base: Base) -> Any:
    """The graph of OpenVINO, with a copy of the weights, for any number of pictures.

    By the parts that `openvino.convert_model` is made of: that one patches torch's functions meanwhile.
    """
    from openvino import PartialShape, Type  # noqa: PLC0415 (an extra)
    from openvino.frontend import FrontEndManager  # noqa: PLC0415 (an extra)
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder  # noqa: PLC0415 (an extra)

    pixels = inputs_of(base, IMAGE, 2)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(_ImageTower(base.model).eval(), (pixels,), check_trace=False, strict=False)
        decoder = TorchScriptPythonDecoder(traced, shared_memory=False)
    frontend = FrontEndManager().load_by_framework("pytorch")
    graph = frontend.convert(frontend.load(decoder))  # the decoder must live until here
    (given,) = graph.inputs
    given.get_node().set_element_type(Type.f32)
    given.get_node().set_partial_shape(PartialShape([-1, *pixels.shape[1:]]))
    graph.validate_nodes_and_infer_types()
    del traced, decoder
    gc.collect()
    return graph
