"""`make fuzz`: a service of its own, attacked for ten minutes, or as the arguments of `schemathesis run` say."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tests.fixtures.service import Service
from tests.fuzz.campaign import fuzz

DEFAULTS = ("--max-time", "600")


def main() -> int:
    """The exit status of schemathesis."""
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "data")
        service.start()
        try:
            return fuzz(service, *DEFAULTS, *sys.argv[1:])
        finally:
            service.stop()


if __name__ == "__main__":
    sys.exit(main())
