from __future__ import annotations

import io
import json
import time
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from saft_core.errors import DeadlinePassed, ExportUnsupported, Unavailable
from saft_core.export import onnx
from saft_core.export.answers import Exported
from saft_core.export.onnx import write_onnx
from saft_core.export.open_clip import write_folder
from saft_core.serving.engine import Engine
from tests.fixtures.models import TOWERS, at_rest, pictures
from tests.saft_core.export.exported import LABELS, TEMPLATES, engine_of, order, tiny


def exported(engine: Engine, folder: Path) -> bytes:
    file = io.BytesIO()
    write_onnx(file, folder, *order(engine), deadline=time.monotonic() + 300)
    return file.getvalue()


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """Where temporary files go."""
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


@pytest.mark.parametrize("tower", sorted(TOWERS))
def test_onnxruntime_answers_as_the_service_for_any_number_of_pictures(
    tmp_path: Path, scratch: Path, tower: str
) -> None:
    engine, images = engine_of(tiny(tmp_path / "base", tower)), pictures(5)
    before = engine.base.flat.sha256()
    engine.embed_images("a", images)  # its weights are in the base when the export begins
    content = exported(engine, scratch)
    session = onnxruntime.InferenceSession(content)
    found = engine.classify("a", images, LABELS, TEMPLATES, strength=0.6, temperature=0.8)
    pixels = torch.stack([engine.base.preprocess(image) for image in images]).numpy()
    for count in (1, 5):
        probabilities, embeddings, unknown = session.run(None, {"pixels": pixels[:count]})
        assert np.abs(probabilities - found.probabilities[:count]).max() < 1e-4
        assert np.abs(embeddings - found.embeddings[:count]).max() < 1e-5
        assert unknown.shape == (count,)
    write_folder(lambda name: (scratch / name).open("wb"), *order(engine))
    folder = Exported(scratch)
    _, expected = folder.answer(torch.from_numpy(found.embeddings))
    assert expected is not None
    assert unknown == pytest.approx(expected.numpy(), abs=1e-4)
    about = session.get_modelmeta().custom_metadata_map
    assert {
        key: json.loads(value) for key, value in about.items() if key not in ("name", "base", "base_fingerprint")
    } == {key: value for key, value in folder.about.items() if key not in ("name", "base", "base_fingerprint")}
    assert about["name"] == "mine"
    assert str(Path(torch.__file__).parent).encode() not in content  # no path of the server
    assert at_rest(engine).sha256() == before


def test_nothing_is_left_of_an_export_that_is_given_up(tmp_path: Path, scratch: Path) -> None:
    engine = engine_of(tiny(tmp_path / "base"))
    with pytest.raises(Unavailable, match="given up"):
        write_onnx(io.BytesIO(), scratch, *order(engine), deadline=time.monotonic() + 300, stopped=lambda: True)
    with pytest.raises(DeadlinePassed):
        write_onnx(io.BytesIO(), scratch, *order(engine), deadline=time.monotonic())
    assert list(scratch.iterdir()) == []


def test_a_tower_that_cannot_be_traced_is_told_from_a_failure(tmp_path: Path, scratch: Path) -> None:
    write_folder(lambda name: (scratch / name).open("wb"), *order(engine_of(tiny(tmp_path / "base"))))
    labels = scratch / "labels.json"
    about = json.loads(labels.read_text("utf-8"))
    about["preprocessing"]["size"] = [7, 7]  # smaller than a patch
    labels.write_text(json.dumps(about), "utf-8")
    with pytest.raises(ExportUnsupported, match="cannot be written as ONNX"):
        onnx._run(scratch, time.monotonic() + 300, lambda: False)
    (scratch / "open_clip_model.safetensors").write_bytes(b"damaged")
    with pytest.raises(Unavailable, match="failed"):
        onnx._run(scratch, time.monotonic() + 300, lambda: False)


def test_a_tower_beyond_what_one_file_holds_is_refused_before_anything_is_written(
    tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx, "MAX_TOWER_BYTES", 1_000)
    engine = engine_of(tiny(tmp_path / "base"))
    with pytest.raises(ExportUnsupported, match="1,000"):
        exported(engine, scratch)
    assert list(scratch.iterdir()) == []
