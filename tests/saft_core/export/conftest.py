from __future__ import annotations

from tests.saft_core.clip.conftest import registered

__all__ = ["registered"]
