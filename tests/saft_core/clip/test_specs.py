from __future__ import annotations

from pathlib import Path

import pytest

from saft_core.clip import specs
from saft_core.clip.specs import EMBEDDED_FOLDER, parse
from tests.saft_core.clip.checkpoints import config, write_folder


@pytest.mark.parametrize("spec", ["", "embedded"])
def test_nothing_names_the_embedded_base(spec: str) -> None:
    source = parse(spec)
    assert (source.kind, source.folder) == ("folder", EMBEDDED_FOLDER)


def test_every_kind_is_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_folder(tmp_path / "folder", config())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.pt").touch()
    kinds = {
        "hf-hub:org/name": "hub",
        "ViT-B-16/openai": "tag",
        "ViT-B-16/laion2b-s34b-b88k": "tag",
        f"ViT-B-16/{tmp_path}/mine.pt": "file",
        "ViT-B-16/mine.pt": "file",
        "ViT-B-16-quickgelu/./mine.pt": "file",
        folder: "folder",
        "folder": "folder",
        f"local-dir:{folder}": "folder",
    }
    assert {spec: parse(spec).kind for spec in kinds} == kinds
    assert parse("ViT-B-16/mine.pt").file == Path("mine.pt")
    assert parse("hf-hub:org/name").model == "hf-hub:org/name"


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("ViT-B-16/opnai", "no tag 'opnai' of ViT-B-16; nearest are openai"),
        ("ViT-B16/openai", "no model 'ViT-B16'; nearest are ViT-B-16"),
        ("vit-b-16/openai", "nearest are ViT-B-16"),
        ("ViT-B/16", "nearest are ViT-B-"),
        ("ViT-B-16", "give a tag or a file too, such as ViT-B-16/openai"),
        ("coca_base/openai", "it has none; give a file: coca_base//path/to/file"),
        ("ViT-B-16//no/such.safetensors", "no file /no/such.safetensors"),
        ("ViT-B-16/such.pt", "no file such.pt"),
        ("/no/such/folder", "no folder or file /no/such/folder"),
        ("models/folder", "no folder models/folder, and open_clip has no model 'models'"),
        ("./folder", "no folder or file folder"),
        ("models/mine.safetensors", "no folder or file models/mine.safetensors"),
    ],
)
def test_what_is_not_there_is_said_with_what_is_near(spec: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(spec)


def test_a_lone_file_is_told_how_to_be_named(tmp_path: Path) -> None:
    file = tmp_path / "mine.safetensors"
    file.touch()
    with pytest.raises(ValueError, match=f"ViT-B-16/{file}.*open_clip_config.json"):
        parse(str(file))


def test_a_folder_needs_both_configuration_and_weights(tmp_path: Path) -> None:
    folder = Path(write_folder(tmp_path / "folder", config()))
    (folder / "open_clip_model.safetensors").rename(folder / "weights.txt")
    with pytest.raises(ValueError, match=r"no weights; open_clip_model\.safetensors"):
        parse(str(folder))
    (folder / specs.CONFIG_FILE).unlink()
    with pytest.raises(ValueError, match=r"no open_clip_config\.json"):
        parse(str(folder))
