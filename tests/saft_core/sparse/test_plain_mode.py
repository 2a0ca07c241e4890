from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saft_core.sparse.plain_mode import PlainMode


def pixels(form: torch.memory_format = torch.channels_last) -> Tensor:
    return torch.randn(2, 4, 9, 8, generator=torch.Generator().manual_seed(1)).contiguous(memory_format=form)


def layers(*more: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(6)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    norm.running_mean = torch.randn(6)
    norm.running_var = torch.rand(6) + 0.5
    return nn.Sequential(nn.Conv2d(4, 6, 3, padding=1), norm, *more).eval()


class Attending(nn.Module):
    def __init__(self, mask: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.attention, self.linear = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(4, 8)
        self.mask = torch.full((72, 72), float("-inf")).triu_(1) if mask else None

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.linear(x.flatten(2).transpose(1, 2))
        attended: Tensor = self.attention(tokens, tokens, tokens, need_weights=False, attn_mask=self.mask)[0]
        return attended


class Padded(nn.Module):
    """With a convolution of which nothing here knows: torch pads by a word."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, torch.ones(1, 4, 3, 3), padding="same")


@pytest.mark.parametrize("form", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize(
    "model",
    [
        lambda: layers(nn.ReLU6(inplace=True), nn.Conv2d(6, 3, 1)),
        lambda: layers(nn.ReLU(), nn.Conv2d(6, 3, 1)),
        lambda: layers(nn.GELU(), nn.Conv2d(6, 3, 1)),
        layers,
        lambda: nn.Sequential(layers(), nn.BatchNorm2d(6).eval(), nn.ReLU(inplace=True)),
        lambda: Attending(mask=False).eval(),
        lambda: Attending(mask=True).eval(),
        Padded,
    ],
    ids=[
        "relu6 in place",
        "relu",
        "gelu",
        "a norm comes last",
        "a norm behind a norm",
        "attention",
        "masked attention",
        "a form that is not known",
    ],
)
@torch.inference_mode()
def test_a_model_gives_what_it_gives_without(model: Callable[[], nn.Module], form: torch.memory_format) -> None:
    module, x = model(), pixels(form)
    kept = x.clone()
    wanted = module(x)
    with PlainMode(set(map(id, module.parameters()))):
        found = module(x)
    torch.testing.assert_close(found, wanted)
    assert torch.equal(x, kept)


@torch.inference_mode()
def test_what_a_norm_read_stays_as_it_is_where_a_function_has_it_since() -> None:
    convolution, norm = layers()
    x = pixels()
    wanted = norm(convolution(x)) + 2 * convolution(x)
    with PlainMode({id(convolution.weight), id(norm.weight)}):
        y = convolution(x)
        doubled = 2 * y
        found = norm(y) + doubled
    torch.testing.assert_close(found, wanted)


@torch.inference_mode()
def test_an_error_of_the_model_is_its_own() -> None:
    with pytest.raises(RuntimeError, match="shape"), PlainMode(set()):
        F.linear(torch.zeros(2, 3), torch.zeros(4, 5))


@pytest.mark.parametrize("known", ["weight of the norm", "weight of the convolution"])
@torch.inference_mode()
def test_a_norm_is_not_written_over_what_a_mixed_batch_would_not_miss(known: str) -> None:
    """No parameter is used there: the mixed batch that this model took before did not look."""
    convolution, norm = layers()
    x = pixels()
    wanted = norm(convolution(x)) + convolution(x)
    with PlainMode({id((norm if known == "weight of the norm" else convolution).weight)}):
        y = convolution(x)
        found = norm(y) + y
    torch.testing.assert_close(found, wanted)
