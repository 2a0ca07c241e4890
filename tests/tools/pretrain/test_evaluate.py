from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image
from torch.nn import functional as F

from saft_core.clip.zero_shot import fill
from tests.fixtures.models import make_base
from tools.pretrain.evaluate import accuracy


def test_accuracy_is_of_each_class_over_its_own_pictures(tmp_path: Path) -> None:
    base, colours = make_base("vit"), ("red", "lime_green")
    for colour in colours:
        (tmp_path / colour).mkdir()
        for shade in range(2):
            Image.new("RGB", (40, 40), colour.replace("_", "")).save(tmp_path / colour / f"{shade}.png")
    with torch.inference_mode():
        texts = base.encode_texts(fill(base.defaults.template, ["lime green", "red"]))
        images = base.encode_pixels(base.pixels([Image.new("RGB", (40, 40), name) for name in ("limegreen", "red")]))
        named = (F.normalize(images, dim=1) @ texts.T).argmax(1).tolist()
    right, pictures = accuracy(base, tmp_path)
    assert pictures == 4
    assert right == {"lime_green": float(named[0] == 0), "red": float(named[1] == 1)}
