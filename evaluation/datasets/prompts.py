"""The prompt of each data set, as the paper's Table 7 has them.

They are CoOp's (arXiv 2109.01134, its appendix) but for Food101's, which has the article that CoOp's leaves out.
"""

from __future__ import annotations

PHOTO = "a photo of a {}."
"""CLIP's own where nothing more is known of the pictures (arXiv 2103.00020, section 3.1.4)."""

PROMPTS = {
    "imagenet": PHOTO,
    "caltech101": PHOTO,
    "oxford_pets": "a photo of a {}, a type of pet.",
    "stanford_cars": PHOTO,
    "oxford_flowers": "a photo of a {}, a type of flower.",
    "food101": "a photo of a {}, a type of food.",
    "fgvc_aircraft": "a photo of a {}, a type of aircraft.",
    "sun397": PHOTO,
    "dtd": "{} texture.",
    "eurosat": "a centered satellite photo of {}.",
    "ucf101": "a photo of a person doing {}.",
}
