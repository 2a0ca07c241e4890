from __future__ import annotations

from pathlib import Path

import gradio as gr
import pytest
from pydantic import ValidationError

import ui
from ui.inputs import UploadNames, by_name


@pytest.mark.parametrize("make", [lambda: gr.File(file_count="multiple"), gr.File, gr.Image])
def test_a_component_made_anew_of_the_class_takes_names_too(make: type[gr.File] | type[gr.Image]) -> None:
    first = by_name(make())
    again = type(first)(**first.constructor_args)
    for component in (first, again):
        assert component.get_block_name() == make().get_block_name()
        assert component.data_model is UploadNames
        assert component.preprocess(UploadNames(root="name")) == "name"  # type: ignore[arg-type]
        assert component.preprocess(None) is None
    assert list(Path(ui.__file__).parent.rglob("*.pyi")) == []


def test_only_names_are_taken() -> None:
    with pytest.raises(ValidationError):
        UploadNames.model_validate({"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}})
