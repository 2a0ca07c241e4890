"""From uploads of strangers to labelled samples: archives, image files, label formats, limits."""
