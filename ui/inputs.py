"""Inputs for files that Gradio passes on unseen."""

from __future__ import annotations

from abc import ABCMeta
from functools import cache
from typing import Any, TypeVar

from gradio.component_meta import ComponentMeta
from gradio.components import Component
from gradio.data_classes import GradioRootModel

Input = TypeVar("Input", bound=Component)


class UploadNames(GradioRootModel):
    """What the guard makes of the files in an event: the name of an upload, several, or none."""

    root: str | list[str] | None


def by_name(component: Input) -> Input:
    """The file or image input, with its functions given names of uploads; a path or a URL is an error.

    Its class is exchanged, for Gradio makes a new component of the class after each event that might have changed it.
    """
    component.__class__ = _class_by_name(type(component))
    return component


@cache
def _class_by_name(kind: type[Component]) -> type[Any]:
    """A subclass of the same name. Made past Gradio's metaclass, which would write a stub file beside this module."""
    # A property, since gr.File sets the model of each instance, and Gradio's own would not take a name.
    model = property(lambda _: UploadNames, lambda *_: None)
    content = {"__module__": kind.__module__, "data_model": model, "preprocess": _names}
    made: type[Any] = ABCMeta.__new__(ComponentMeta, kind.__name__, (kind,), content)
    return made


def _names(_: Component, payload: UploadNames | None) -> Any:
    return payload.root if payload is not None else None
