"""OpenVINO, an optional dependency, without what it does by itself when it is imported.

Importing it reports that to its maker: a thread forks the process, the child looks up Google Analytics, and files are
written to the user's home. It does not where the package that reports is missing.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType

REPORTS = "openvino_telemetry"


def is_installed() -> bool:
    """Whether OpenVINO is."""
    return importlib.util.find_spec("openvino") is not None


def load() -> ModuleType:
    """OpenVINO. Raises ImportError where it is not installed. No other place of the project may import it first."""
    sys.modules.setdefault(REPORTS, None)  # type: ignore[arg-type]  # None: it is not there
    import openvino  # noqa: PLC0415 (an extra)

    return openvino  # type: ignore[no-any-return]
