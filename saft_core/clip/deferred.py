"""Importing open_clip without torch.compile, which nothing here uses.

torchvision and timm mark a few functions for it when they are imported, and that loaded `torch._dynamo` with 1,400
other modules: 2 to 3 s of CPU of every start. torch marks its own functions so that the compiler is loaded when one of
them is first called; here others do as well.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch

COMPILER = "torch._dynamo"
HELPERS = f"{COMPILER}.utils"


@contextmanager
def compiler_deferred() -> Iterator[None]:
    """A context in which importing the compiler to mark functions costs nothing; any other use of it loads it."""
    if COMPILER in sys.modules:
        yield
        return
    sys.modules[COMPILER] = _Compiler(COMPILER)
    sys.modules[HELPERS] = _Helpers(HELPERS)
    try:
        yield
    finally:
        _withdraw()


class _Later(ModuleType):
    """A module that is not loaded before it is asked for something."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name != "__path__":  # `inspect` looks for __file__ in all modules there are
            raise AttributeError(name)
        _withdraw()
        return getattr(importlib.import_module(self.__name__), name)


class _Compiler(_Later):
    @staticmethod
    def disable(
        function: Callable[..., Any] | None = None, recursive: bool = True, *, wrapping: bool = True, **more: Any
    ) -> Any:
        """The decorator that torch's own functions have: the compiler is to leave the function alone."""
        if wrapping:
            return torch._disable_dynamo(function, recursive)  # type: ignore[attr-defined]
        _withdraw()  # by that very decorator, in a call of the function
        return importlib.import_module(COMPILER).disable(function, recursive, wrapping=wrapping, **more)


class _Helpers(_Later):
    __path__: list[str] = []  # noqa: RUF012 (as a module has it; `from ... import` looks for it first)

    @staticmethod
    def is_compile_supported(device_type: str) -> Any:
        """What the compiler says when it is asked."""
        return importlib.import_module(HELPERS).is_compile_supported(device_type)


def _withdraw() -> None:
    """Take the stand-ins away, so that the next import finds the modules themselves."""
    for name in (COMPILER, HELPERS):
        if isinstance(sys.modules.get(name), _Later):
            del sys.modules[name]
