"""Section 3.5 of the paper: language models, on BOSS's shifts, by the functions that adapt CLIP."""
