"""Figures, measured side by side in one run; not shipped. `make bench-train` fills results/train.json."""
