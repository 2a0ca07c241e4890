from __future__ import annotations

import open_clip
import pytest

from saft_core.clip import variant
from tests.saft_core.clip.checkpoints import give_tags

HALF = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("model", "quick_gelu", "preprocessing"),
    [
        ("ViT-L-14-336", True, {"interpolation": "bicubic", "resize_mode": "shortest"}),
        ("RN50", True, {}),
        ("ViT-B-16-plus-240", False, {}),
        ("ViT-B-16-quickgelu", True, {}),
        ("ViT-B-16-SigLIP", False, {"mean": HALF, "std": HALF, "resize_mode": "squash"}),
        ("MobileCLIP-S1", False, {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "interpolation": "bilinear"}),
        ("ViT-L-14-CLIPA", False, {"interpolation": "bilinear", "resize_mode": "squash"}),
    ],
)
def test_a_file_is_run_as_all_tags_of_its_model_are(
    model: str, quick_gelu: bool, preprocessing: dict[str, object]
) -> None:
    chosen = variant.of_file(model)
    assert chosen.doubts == ()
    assert chosen.quick_gelu is quick_gelu
    assert chosen.preprocessing.items() >= preprocessing.items()


def test_without_a_doubt_every_tag_of_every_model_is_run_as_it_wants() -> None:
    models = {model for model, _ in open_clip.list_pretrained()}
    sure = {model: chosen for model in models if not (chosen := variant.of_file(model)).doubts}
    assert len(sure) > len(models) / 2
    for model, chosen in sure.items():
        assert {repr(variant.of_tag(model, tag)) for tag in open_clip.list_pretrained_tags_by_model(model)} == {
            repr(chosen)
        }


def test_where_tags_differ_in_the_activation_the_name_decides_and_the_other_name_is_said() -> None:
    chosen = variant.of_file("ViT-B-16")
    assert not chosen.quick_gelu
    assert len(chosen.doubts) == 1
    for words in ("GELU: 11, QuickGELU: 4", "took GELU", "ViT-B-16-quickgelu//file"):
        assert words in chosen.doubts[0]
    assert variant.of_file("ViT-B-16-quickgelu").doubts == ()


def test_where_tags_differ_in_preprocessing_the_usual_one_is_taken() -> None:
    chosen = variant.of_file("ViT-L-14")
    assert chosen.preprocessing["mean"] == open_clip.OPENAI_DATASET_MEAN
    assert [doubt.partition("(")[0] for doubt in chosen.doubts[1:]] == [
        "its tags differ in mean ",
        "its tags differ in std ",
    ]
    assert "open_clip_config.json" in chosen.doubts[1]


def test_a_model_without_tags_leaves_a_doubt() -> None:
    (doubt,) = variant.of_file("ViT-S-16").doubts
    assert "no tag to tell by" in doubt


def test_a_model_without_a_quick_name_is_told_of_the_folder(registered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    give_tags(monkeypatch, {"quick_gelu": True}, {"quick_gelu": False})
    (doubt,) = variant.of_file(registered).doubts
    assert "took GELU; a folder with open_clip_config.json" in doubt


def test_a_folder_that_leaves_preprocessing_out_leaves_a_doubt() -> None:
    said = {"mean": HALF, "std": HALF, "interpolation": "bilinear", "resize_mode": "squash"}
    assert variant.of_config({"preprocess_cfg": said}).doubts == ()
    (doubt,) = variant.of_config({"preprocess_cfg": {"mean": HALF, "std": HALF}}).doubts
    assert "gives no interpolation, resize_mode under preprocess_cfg: took OpenAI's" in doubt
    (doubt,) = variant.of_config({"model_cfg": {}}).doubts
    assert "mean, std" in doubt
