from __future__ import annotations

import pytest
import torch

from saft_core.clip.backbone import Base
from saft_core.tuning import memory
from saft_core.tuning.memory import images_per_pass
from tests.fixtures.device import here
from tests.fixtures.models import pictures

pytestmark = pytest.mark.gpu


def test_as_many_images_are_passed_as_their_activations_have_room(
    tiny_base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = tiny_base.pixels(pictures(1))
    monkeypatch.setitem(memory.ACTIVATION_BYTES_PER_PASS, here().type, 1 << 20)
    some = images_per_pass(tiny_base, pixels)
    monkeypatch.setitem(memory.ACTIVATION_BYTES_PER_PASS, here().type, 4 << 20)
    assert 4 * some <= images_per_pass(tiny_base, pixels) < 4 * some + 4
    kept = (1 << 20) / some
    assert pixels.nbytes < kept < 0.5 * tiny_base.flat.buffer.nbytes  # the parameters are not counted
    monkeypatch.setitem(memory.ACTIVATION_BYTES_PER_PASS, here().type, 1)
    assert images_per_pass(tiny_base, pixels) == 1


def test_what_keeps_nothing_fits_whatever_the_number(tiny_base: Base) -> None:
    with torch.no_grad():
        assert (
            images_per_pass(tiny_base, tiny_base.pixels(pictures(1))) == memory.ACTIVATION_BYTES_PER_PASS[here().type]
        )
