"""An adapter's image tower and classifier as one ONNX file, made in a process of its own.

python -m saft_core.export.onnx FOLDER    writes FOLDER/model.onnx from the open_clip export in FOLDER

torch's exporter traces with the compiler: it holds the interpreter's lock for seconds, loads 1,400 modules, and tells
the whole process, other threads too, that it is exporting. None of that may happen beside a model that serves.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor, nn

from saft_core.clip import image_tower
from saft_core.clip.backbone import Base
from saft_core.errors import DeadlinePassed, ExportUnsupported, Unavailable
from saft_core.export.answers import Exported, strange
from saft_core.export.description import Description
from saft_core.export.open_clip import write_folder
from saft_core.export.weights import FLOAT_BYTES, Merged
from saft_core.process import die_with_parent

logger = logging.getLogger(__name__)

MODEL_FILE = "model.onnx"
MAX_TOWER_BYTES = 1_900 << 20
"""One file of ONNX, a protocol buffer, has less than 2 GiB."""
PREFIX = "export-"
"""Of the folders that are made beside it; none is left but by a process that was killed."""
UNSUPPORTED_STATUS = 3
LOOK_SECONDS = 0.1
REASON_CHARACTERS = 2_000
NICENESS = 5
"""Of the process: those who wait for answers come first."""
INPUT, OUTPUTS = "pixels", ("probabilities", "embedding", "unknown")
_PACKAGES = str(Path(__file__).parents[2])


def write_onnx(
    file: IO[bytes], folder: Path, merged: Merged, description: Description, *,
    deadline: float, stopped: Callable[[], bool] = lambda: False,
) -> None:  # fmt: skip
    """Write the model into `file`. `folder` is where temporary files go: some more than the base's size.

    deadline: on `time.monotonic()`'s clock. stopped: asked now and then; if so, the work is given up.

    Raises ExportUnsupported if the tower has no ONNX form, DeadlinePassed, Unavailable, and what reading the base
    raises.
    """
    check_size(merged.base)
    with tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX) as made:
        write_folder(lambda name: (Path(made) / name).open("wb"), merged, description)
        _run(Path(made), deadline, stopped)
        with (Path(made) / MODEL_FILE).open("rb") as model:
            shutil.copyfileobj(model, file)


def check_size(base: Base) -> None:
    """Raise ExportUnsupported for a tower that no single file of ONNX can hold."""
    size = FLOAT_BYTES * sum(slot.size for slot in base.flat.slots if slot.name.startswith("visual."))
    if size > MAX_TOWER_BYTES:
        raise ExportUnsupported(
            f"the base's image tower has {size:,} bytes, and a file of ONNX holds {MAX_TOWER_BYTES:,}; take open_clip"
        )


def _run(folder: Path, deadline: float, stopped: Callable[[], bool]) -> None:
    with (folder / "errors").open("w+b") as output:
        child = subprocess.Popen(  # noqa: S603 (our own command line)
            [sys.executable, "-P", "-m", __name__, str(folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([_PACKAGES, os.environ.get("PYTHONPATH", "")])},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
        )
        try:
            status = _wait(child, deadline, stopped)
        finally:
            child.kill()
            child.wait()
        output.seek(0)
        said = output.read().decode(errors="replace").strip().splitlines()
    if status:
        logger.warning("the export to ONNX ended with %d: %s", status, said[-1] if said else "it said nothing")
    if status == UNSUPPORTED_STATUS:
        raise ExportUnsupported("the base's image tower cannot be written as ONNX, the log says why; take open_clip")
    if status:
        raise Unavailable("the export to ONNX failed, the log says why; try again, or take open_clip")


def _wait(child: subprocess.Popen[bytes], deadline: float, stopped: Callable[[], bool]) -> int:
    while True:
        try:
            return child.wait(LOOK_SECONDS)
        except subprocess.TimeoutExpired:
            if time.monotonic() >= deadline:
                raise DeadlinePassed from None
            if stopped():
                raise Unavailable("the export was given up") from None


# In the process of its own


class Graph(nn.Module):
    """Pixels float32 (N, 3, height, width) to probabilities (N, classes), unit image embeddings (N, embed_dim) and,
    where that is calibrated, the probability that a picture shows none of the classes (N,).
    """

    def __init__(self, exported: Exported) -> None:
        super().__init__()
        self.model = exported.model
        self.unknown: dict[str, float] | None = exported.about["unknown"]
        self.temperature: float = exported.about["temperature"]
        self.register_buffer("logit_scale", exported.logit_scale.clone())
        self.register_buffer("class_embeddings", exported.class_embeddings.clone())
        self.register_buffer("words", exported.words)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Of a batch of any size."""
        embeddings = image_tower.encode(self.model, pixels)
        cosines = embeddings @ self.class_embeddings.T  # type: ignore[operator]
        scale: Any = self.logit_scale
        probabilities = (scale * cosines / self.temperature).softmax(dim=1)
        if self.unknown is None:
            return probabilities, embeddings
        words: Any = self.words
        return probabilities, embeddings, strange(self.unknown, cosines.amax(dim=1), embeddings, words)


def export(folder: Path) -> None:
    """Write the model. Raises torch.onnx.OnnxExporterError, and whatever the model raises when it is traced."""
    exported = Exported(folder)
    torch.set_num_threads(1)  # it takes seconds, and others want the cores
    graph = Graph(exported).requires_grad_(False).eval()
    height, width = exported.about["preprocessing"]["size"]
    outputs = OUTPUTS if graph.unknown else OUTPUTS[:2]
    program = torch.onnx.export(
        graph,
        (torch.rand(2, 3, height, width),),
        dynamo=True,
        verbose=False,
        input_names=[INPUT],
        output_names=outputs,
        dynamic_shapes=({0: torch.export.Dim("batch")},),
    )
    assert program is not None  # noqa: S101 (for the type checker)
    for node in program.model.graph.all_nodes():  # with the server's paths in them
        node.metadata_props.clear()
        node.doc_string = None
    program.model.metadata_props.update({key: _text(value) for key, value in exported.about.items()})
    program.model.doc_string = f"CLIP {exported.about['base']} with an adapter, exported by SAFT"
    program.save(folder / MODEL_FILE, external_data=False)


def _text(value: Any) -> str:
    """ONNX keeps texts: everything else is JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def main() -> None:
    """Write the model, or the reason and a status: 3 if the tower has no ONNX form."""
    die_with_parent()
    os.nice(NICENESS)
    warnings.simplefilter("ignore")
    try:
        export(Path(sys.argv[1]))
    except (torch.onnx.OnnxExporterError, NotImplementedError) as error:
        sys.stderr.write(f"\n{' '.join(str(error).split())[:REASON_CHARACTERS]}\n")
        sys.exit(UNSUPPORTED_STATUS)


if __name__ == "__main__":
    main()
