"""CLIP: the backbone, its flat parameter buffer and the zero-shot head."""
