"""CLIP: the backbone, its flat parameter buffer and the zero-shot head."""

from saft_core.clip.deferred import compiler_deferred

with compiler_deferred():
    import open_clip  # noqa: F401 (before any module here does)
