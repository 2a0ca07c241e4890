from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from open_clip.tokenizer import SimpleTokenizer

from saft_core.calibration import Words, margin
from saft_core.clip.backbone import Base
from saft_core.clip.blueprint import Blueprint
from saft_core.clip.fingerprint import preprocessing
from saft_core.clip.loading import load_base
from saft_core.errors import ExportUnsupported
from saft_core.export.answers import Exported
from saft_core.export.open_clip import blueprint_of, write_zip
from saft_core.serving.engine import Engine
from tests.fixtures.models import TOWERS, at_rest, make_base, pictures
from tests.saft_core.clip.checkpoints import NAME, clip, config, give_tags, write_folder
from tests.saft_core.clip.test_loading import write_file
from tests.saft_core.export.exported import CALIBRATION, LABELS, TEMPLATES, engine_of, order, tiny


def unzipped(engine: Engine, folder: Path, strength: float = 0.6) -> Path:
    packed = io.BytesIO()
    write_zip(packed, "mine", *order(engine, strength))
    with zipfile.ZipFile(packed) as archive:
        assert archive.testzip() is None
        archive.extractall(folder)
    return folder / "mine"


@pytest.fixture(params=[*sorted(TOWERS), "embedded"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Engine:
    return engine_of(load_base("") if request.param == "embedded" else tiny(tmp_path / "base", request.param))


@pytest.mark.parametrize("strength", [1.0, 0.6, 0.0])
def test_answers_of_the_folder_are_the_services(engine: Engine, tmp_path: Path, strength: float) -> None:
    before = engine.base.flat.sha256()
    exported = Exported(unzipped(engine, tmp_path, strength))
    for image in pictures(3, size=200):
        embedding = exported.embed(exported.pixels(image))
        found = engine.classify("a", [image], LABELS, TEMPLATES, strength=strength, temperature=0.8)
        probabilities, _ = exported.answer(embedding)
        np.testing.assert_allclose(embedding, found.embeddings, atol=1e-6)
        np.testing.assert_allclose(probabilities, found.probabilities, atol=1e-5)
    weights = exported.logit_scale * exported.class_embeddings
    classes = engine.embed_labels("a", LABELS, TEMPLATES, strength=strength)
    np.testing.assert_allclose(weights / weights.norm(dim=1, keepdim=True), classes, atol=1e-6)
    assert at_rest(engine).sha256() == before


def test_what_is_none_of_the_classes_is_told_as_the_service_tells_it(engine: Engine, tmp_path: Path) -> None:
    exported, image = Exported(unzipped(engine, tmp_path)), pictures(1)[0]
    _, unknown = exported.answer(exported.embed(exported.pixels(image)))
    found = engine.classify("a", [image], LABELS, TEMPLATES, strength=0.6)
    words = Words(engine.embed_texts(None, ["tree", "house", "car"]), 1.0)
    expected = margin(found.cosines.max(axis=1), found.embeddings, words, np.ones(3, np.bool_))
    assert CALIBRATION.unknown is not None
    assert unknown is not None
    assert unknown.numpy() == pytest.approx(CALIBRATION.unknown.probability(expected), abs=1e-5)


def test_the_folder_is_a_base_that_open_clip_builds_and_feeds_alike(engine: Engine, tmp_path: Path) -> None:
    folder = unzipped(engine, tmp_path, 0.0)
    again = load_base(str(folder))
    assert again.fingerprint == engine.base.fingerprint
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    assert preprocessing(model) == preprocessing(engine.base.model)
    assert again.flat.sha256() == engine.base.flat.sha256()


def test_the_zip_has_the_same_bytes_each_time(tmp_path: Path) -> None:
    engine = engine_of(tiny(tmp_path))
    first, second = io.BytesIO(), io.BytesIO()
    write_zip(first, "mine", *order(engine))
    write_zip(second, "mine", *order(engine))
    assert first.getvalue() == second.getvalue()


def test_labels_say_how_classes_read_in_prompts(tmp_path: Path) -> None:
    about = json.loads((unzipped(engine_of(tiny(tmp_path / "base")), tmp_path) / "labels.json").read_text("utf-8"))
    assert about["classes"] == list(LABELS)
    assert about["prompts"][0] == ["a photo of a cat.", "a photo of a hot dog.", "a photo of something else."]
    assert (about["strength"], about["temperature"], about["unknown"]["threshold"]) == (0.6, 0.8, 0.4)
    assert about["preprocessing"]["resize_mode"] == "squash"


@pytest.mark.usefixtures("registered")
def test_a_file_whose_tags_want_quick_gelu_is_exported_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    give_tags(monkeypatch, {"quick_gelu": True})
    base = load_base(write_file(tmp_path))
    again = load_base(str(unzipped(engine_of(base), tmp_path, 0.0)))
    assert again.fingerprint == base.fingerprint
    assert NAME not in (tmp_path / "mine" / "open_clip_config.json").read_text()


def test_a_vocabulary_in_a_folder_of_the_base_is_beside_the_weights(tmp_path: Path) -> None:
    source = tmp_path / "base"
    model_cfg = config(text_cfg__tokenizer_kwargs={"bpe_path": "words/own.txt.gz"})
    write_folder(source, model_cfg, model=clip())
    (source / "words").mkdir()
    (source / "words" / "own.txt.gz").write_bytes(Path(open_clip.tokenizer.default_bpe()).read_bytes())
    folder = unzipped(engine_of(load_base(str(source))), tmp_path)
    assert (folder / "own.txt.gz").is_file()
    assert torch.equal(Exported(folder).tokenize(["a cat"]), load_base(str(source)).tokenize(["a cat"]))


def test_a_base_that_open_clip_cannot_build_again_is_refused() -> None:
    base = make_base("vit")
    with pytest.raises(ExportUnsupported, match="did not build"):
        blueprint_of(base)
    assert isinstance(base.tokenize, SimpleTokenizer)
    other = Base(base.model, base.preprocess, base.tokens, name="other", blueprint=Blueprint({}))
    with pytest.raises(ExportUnsupported, match="tokenizer"):
        blueprint_of(other)
