"""The names that a training's options may have, defined once: the trainer, the REST interface and evaluation use these.

A new selection strategy gets its name here, and its scores in saft_core/tuning/selection.py. The client, a package of
its own, repeats the names (client/src/saft_client/_adapters.py); a test keeps the two equal.
"""

from __future__ import annotations

from typing import Literal

Encoders = Literal["both", "image", "text"]
"""The encoders in which parameters may be selected."""
Selection = Literal["mean_gradient", "fisher", "random", "smallest_magnitude"]
"""The strategy that ranks the parameters: SAFT's mean gradient, or an ablation of the paper."""
Evaluate = Literal["refit", "holdout", "none"]
"""Whether a fifth of each class is held out, and whether a second training on all images follows."""
Augment = Literal["none", "crop", "crop_flip"]
"""What a training step sees of each image: all of it, a random crop, or a crop that is mirrored at random."""
