"""`make architecture`: draws docs/architecture.svg anew."""

from __future__ import annotations

from tools.architecture.imports import ROOT, read
from tools.architecture.picture import draw

PICTURE = ROOT / "docs/architecture.svg"

if __name__ == "__main__":
    PICTURE.write_text(draw(read()), "utf-8")
