"""`make fuzz`: ten minutes, or as the arguments of `schemathesis run` say."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fuzz.campaign import fuzz

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as parent:
        sys.exit(fuzz(Path(parent) / "data", "--max-time", "600", *sys.argv[1:]))
