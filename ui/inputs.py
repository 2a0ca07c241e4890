"""Inputs for files that Gradio passes on unseen."""

from __future__ import annotations

from typing import Any, TypeVar

from gradio.components import Component
from gradio.data_classes import GradioRootModel

Input = TypeVar("Input", bound=Component)


class UploadNames(GradioRootModel):
    """What the guard makes of the files in an event: the name of an upload, several, or none."""

    root: str | list[str] | None


def by_name(component: Input) -> Input:
    """The file or image input, with its functions given names of uploads; a path or a URL is an error."""
    component.data_model = UploadNames
    component.preprocess = _names  # type: ignore[method-assign]
    return component


def _names(payload: Any) -> Any:
    return payload.root if payload is not None else None
