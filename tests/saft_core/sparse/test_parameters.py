"""Gradients of selected entries against those of plain autograd, for every kind of layer and any module."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saft_core.clip.flat import FlatParameters, IndexArray
from saft_core.sparse.convolution_functions import DepthwiseConvolution, SparseConvolution
from saft_core.sparse.parameters import SparseParameters
from saft_core.tuning.selection import select
from tests.fixtures.device import here, on_cpu
from tests.fixtures.models import TOWERS, bits, make_base, pictures
from tests.fixtures.selected_gradients import Loss, check, gradient_of, some_of_each

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("tower", sorted(TOWERS))
@pytest.mark.parametrize("density", [0.0, 0.01, 0.3, 0.9])
def test_every_parameter_of_clip_gets_its_gradient(tower: str, density: float) -> None:
    base = make_base(tower, dtype=torch.float64)
    pixels = base.pixels(pictures(4))

    def loss() -> Tensor:
        texts = base.encode_texts(["a cat", "a dog in a box", "x"])
        return F.cross_entropy(
            base.logit_scale * base.encode_pixels(pixels) @ texts.T, torch.tensor([0, 1, 2, 0], device=here())
        )

    check(base.flat, loss, some_of_each(base.flat, density))


@pytest.mark.parametrize(
    "module",
    [
        nn.Conv2d(4, 6, 3, padding=1, bias=True),
        nn.Conv2d(4, 6, 3, stride=2, dilation=2, padding=2),
        nn.Conv2d(4, 6, 4, stride=4),
        nn.Conv2d(4, 6, 1),
        nn.Conv2d(4, 8, 3, groups=2),
        nn.Conv2d(4, 6, 3, padding="same"),
        nn.Sequential(nn.BatchNorm2d(4), nn.Conv2d(4, 2, 2)).eval(),
        nn.ConvTranspose2d(4, 3, 2),
        nn.Sequential(nn.Flatten(2), nn.LayerNorm(64), nn.Linear(64, 5), nn.GELU(), nn.Linear(5, 3, bias=False)),
        nn.Sequential(nn.Flatten(2), nn.TransformerEncoderLayer(64, 4, 32, dropout=0.0, batch_first=True)),
    ],
    ids=lambda module: repr(module).split("\n", maxsplit=1)[0],
)
@pytest.mark.parametrize("density", [0.05, 0.6])
def test_every_kind_of_layer_gets_its_gradient(module: nn.Module, density: float) -> None:
    torch.manual_seed(0)
    flat = FlatParameters(module.double().to(here()))
    x = torch.randn(3, 4, 8, 8, dtype=torch.float64).to(here())
    check(flat, lambda: module(x).sin().sum(), some_of_each(flat, density))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    "form", [{"padding": 1}, {"stride": 2}, {"stride": (1, 2), "padding": (0, 2), "dilation": (2, 1), "bias": False}]
)
def test_few_channels_of_a_depthwise_convolution(form: dict[str, Any], memory_format: torch.memory_format) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 16, 3, bias=False), nn.Conv2d(16, 16, 3, groups=16, **form))
    flat = FlatParameters(module.double().to(here()))
    kernel = flat.slots[1]
    indices = kernel.offset + np.array([0, 4, 5, 9 * 9 + 8, 15 * 9])
    x = torch.randn(3, 4, 9, 8, dtype=torch.float64).to(here()).contiguous(memory_format=memory_format)
    by_loop = on_cpu() and memory_format is torch.channels_last
    function = DepthwiseConvolution if by_loop else SparseConvolution
    with mock.patch.object(function, "apply", wraps=function.apply) as taken:
        check(flat, lambda: module(x).sin().sum(), np.concatenate([[3, 30], indices]))
    assert any(call.args[1] is module[1].weight for call in taken.call_args_list)


class Used(nn.Module):
    """Parameters of several shapes, and one use of them."""

    mean: Tensor
    variance: Tensor

    def __init__(self, use: Callable[[Used, Tensor], Tensor]) -> None:
        super().__init__()
        self.use = use
        self.vector, self.other = nn.Parameter(torch.rand(8) + 0.5), nn.Parameter(torch.randn(8))
        self.square, self.number = nn.Parameter(torch.randn(8, 8)), nn.Parameter(torch.tensor(0.7))
        self.register_buffer("mean", torch.randn(8))
        self.register_buffer("variance", torch.rand(8) + 0.5)

    def forward(self, x: Tensor) -> Tensor:
        """Anything of `x` (3, 5, 8)."""
        return self.use(self, x)


USES: dict[str, Callable[[Used, Tensor], Tensor]] = {
    "F.linear, by keywords": lambda m, x: F.linear(bias=m.vector, weight=m.square, input=x),
    "F.linear of a vector": lambda m, x: F.linear(x, m.vector),
    "F.linear with one number for a bias": lambda m, x: F.linear(x, m.square, m.number),
    "F.linear of one token": lambda m, x: F.linear(x[0, 0], m.square, m.vector),
    "F.linear of a parameter": lambda m, x: F.linear(m.square, m.square, m.vector),
    "torch._C._nn.linear": lambda m, x: torch._C._nn.linear(x, m.square, m.vector),
    "@": lambda m, x: x @ m.square + m.vector @ m.square,
    "@ of a property": lambda m, x: x @ m.square.T,
    "torch.batch_norm": lambda m, x: torch.batch_norm(
        x.transpose(1, 2), m.vector, m.other, m.mean, m.variance, False, 0.1, 1e-5, False
    ),
    "F.batch_norm": lambda m, x: F.batch_norm(x.transpose(1, 2), m.mean, m.variance, m.vector, m.other),
    "torch.layer_norm": lambda m, x: torch.layer_norm(x, (8,), m.vector, m.other),
    "F.layer_norm, by keywords": lambda m, x: F.layer_norm(x, (8,), bias=m.other, weight=m.vector),
    "torch.embedding": lambda m, x: torch.embedding(m.square, (x[..., 0] > 0).long()),
    "F.embedding, by keywords": lambda m, x: F.embedding(weight=m.square, input=(x[..., 0] > 0).long()),
    "F.embedding with padding in row 0": lambda m, x: F.embedding((x[..., 0] > 0).long(), m.square, padding_idx=0),
    "F.embedding with padding in the last row": lambda m, x: F.embedding((x[..., 0] > 0).long() + 6, m.square, -1),
    "torch.addmm": lambda m, x: torch.addmm(m.vector, x[:, 0], m.square),
    "torch.baddbmm": lambda m, x: torch.baddbmm(m.vector, x, m.square.expand(3, -1, -1)),
    "torch.einsum": lambda m, x: torch.einsum("btw,wv->btv", x, m.square),
    "torch.conv2d, by keywords": lambda m, x: torch.conv2d(x[..., None], weight=m.square[:5, :5, None, None]),
    "scaled dot product": lambda m, x: F.scaled_dot_product_attention(m.square.expand(3, -1, -1), x, x),
    "joined": lambda m, x: F.linear(x, torch.cat([m.square, m.square * m.vector]), torch.cat([m.vector, m.other])),
    "a view, twice": lambda m, x: F.linear(x, m.square[:4], m.vector[2:6]) * m.square.view(64)[8:12],
    "LayerScale in place": lambda m, x: (x + 0).mul_(m.vector),
}


@pytest.mark.parametrize("use", USES.values(), ids=USES.keys())
def test_every_use_gets_its_gradient_whatever_the_function_is_called(use: Callable[[Used, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    model = Used(use)
    flat = FlatParameters(model.double().to(here()))
    x = torch.randn(3, 5, 8, dtype=torch.float64).to(here())
    check(flat, lambda: model(x).sin().sum(), some_of_each(flat, 0.3))


@pytest.mark.parametrize("mask", [None, "float", "bool", "causal"])
@pytest.mark.parametrize("cross", [False, True])
def test_attention_of_any_form_gets_its_gradient(mask: str | None, cross: bool) -> None:
    torch.manual_seed(0)
    attention = nn.MultiheadAttention(16, 4, batch_first=True).double().to(here())
    flat = FlatParameters(attention)
    x, y = torch.randn(2, 2, 5, 16, dtype=torch.float64).to(here())
    upper = torch.ones(5, 5, dtype=torch.bool, device=here()).triu(1)
    masks = {
        "float": torch.zeros(5, 5, dtype=torch.float64, device=here()).masked_fill(upper, -torch.inf),
        "bool": upper,
    }
    masks["causal"] = masks["float"]
    given = {"attn_mask": masks[mask], "is_causal": mask == "causal"} if mask else {}
    other = y if cross else x

    def loss() -> Tensor:
        return attention(x, other, other, need_weights=False, **given)[0].sin().sum()  # type: ignore[no-any-return]

    check(flat, loss, some_of_each(flat, 0.05))


class Seq2Seq(nn.Module):
    """A small encoder-decoder in the manner of T5: one embedding for both ends and the output, relative positions."""

    def __init__(self, vocabulary: int = 50, width: int = 16) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.encoder_bias = nn.Embedding(9, 2)
        layer: dict[str, Any] = {
            "d_model": width,
            "nhead": 2,
            "dim_feedforward": 32,
            "dropout": 0.0,
            "batch_first": True,
        }
        self.encoder = nn.TransformerEncoderLayer(**layer)
        self.decoder = nn.TransformerDecoderLayer(**layer)
        self.head = nn.Linear(width, vocabulary, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        """Logits (N, L, vocabulary) for each next token of `target`."""
        steps = torch.arange(source.shape[1], device=source.device)
        distance = (steps[:, None] - steps[None]).clamp(-4, 4) + 4
        bias = self.encoder_bias(distance).permute(2, 0, 1).repeat(len(source), 1, 1)
        memory = self.encoder(self.embedding(source), src_mask=bias)
        causal = nn.Transformer.generate_square_subsequent_mask(target.shape[1], memory.device, memory.dtype)
        logits: Tensor = self.head(self.decoder(self.embedding(target), memory, tgt_mask=causal))
        return logits


def test_an_encoder_decoder_is_adapted_without_clip_in_sight() -> None:
    """The paper's section 3.5: any module, any loss; here to copy a sequence, against dense training with a mask."""
    torch.manual_seed(0)
    model = Seq2Seq().double().to(here())
    flat = FlatParameters(model)
    source = torch.randint(0, 50, (8, 6)).to(here())
    shifted = torch.cat([torch.zeros(8, 1, dtype=torch.long, device=here()), source[:, :-1]], dim=1)

    def loss() -> Tensor:
        return F.cross_entropy(model(source, shifted).flatten(0, 1), source.flatten())

    check(flat, loss, some_of_each(flat, 0.1))
    indices = select(gradient_of(flat, loss), 0.1)
    before = flat.buffer.clone()
    dense = masked_training(flat, loss, indices)
    parameters = SparseParameters(flat, indices)
    optimizer = torch.optim.AdamW([parameters.values], lr=1e-2)
    losses = []
    with parameters.trained():
        for _ in range(20):
            parameters.zero_gradient()
            value = loss()
            value.backward()
            losses.append(value.item())
            optimizer.step()
            parameters.push()
        found = flat.buffer.clone()
    others = np.setdiff1d(np.arange(len(flat)), indices)
    assert losses[-1] < 0.7 * losses[0]
    assert bits(found[others]) == bits(before[others])
    torch.testing.assert_close(found[indices], dense[indices], rtol=1e-9, atol=0)
    assert bits(flat.buffer) == bits(before)


def masked_training(flat: FlatParameters, loss: Loss, indices: IndexArray) -> Tensor:
    """Dense AdamW over all parameters for 20 steps, everything else reset after each."""
    before = flat.buffer.clone()
    mask = torch.zeros(len(flat), dtype=torch.bool, device=here())
    mask[indices] = True
    optimizer = torch.optim.AdamW(flat.model_parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        flat.buffer.copy_(torch.where(mask, flat.buffer, before))
    trained = flat.buffer.clone()
    flat.buffer.copy_(before)
    optimizer.zero_grad()
    return trained


def test_backward_stops_below_the_first_selected_layer() -> None:
    model = nn.Sequential(*(nn.Linear(4, 4) for _ in range(4))).to(here())
    flat = FlatParameters(model)
    slot = next(slot for slot in flat.slots if slot.name == "2.weight")
    outputs: list[Tensor] = []
    for layer in model:
        layer.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
    with SparseParameters(flat, np.array([slot.offset])).trained():
        model(torch.randn(3, 4).to(here())).sum().backward()
    assert [output.requires_grad for output in outputs] == [False, False, True, True]


def test_a_layer_with_nothing_selected_keeps_no_input() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4)).to(here())
    flat = FlatParameters(model)
    x = torch.randn(3, 4).to(here())
    saved: list[Tensor] = []

    def note(tensor: Tensor) -> Tensor:
        saved.append(tensor)
        return tensor

    with (
        SparseParameters(flat, np.array([0])).trained(),
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
    ):
        hidden = model[0](x)
        start = len(saved)
        model[1](hidden)
    assert [tuple(t.shape) for t in saved[start:]] == [(4, 4)]  # the weight alone, for the gradient of the input


def test_autocast_leaves_float64_alone_as_torchs_own_does() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(8, 6), nn.GELU(), nn.Linear(6, 3)).double().to(here())
    flat = FlatParameters(module)
    x = torch.randn(5, 8, dtype=torch.float64).to(here())

    def loss() -> Tensor:
        with torch.autocast(here().type, dtype=torch.bfloat16):
            return module(x).sin().sum()  # type: ignore[no-any-return]

    check(flat, loss, some_of_each(flat, 0.3))


def test_mixed_precision_gives_gradients_in_the_precision_of_the_weights() -> None:
    base = make_base("vit")
    pixels = base.pixels(pictures(4))

    def loss() -> Tensor:
        with torch.autocast(here().type, dtype=torch.bfloat16):
            texts = base.encode_texts(["a cat", "a dog in a box", "x"])
            return F.cross_entropy(
                base.logit_scale * base.encode_pixels(pixels) @ texts.T, torch.tensor([0, 1, 2, 0], device=here())
            )

    indices = some_of_each(base.flat, 0.01)
    expected = gradient_of(base.flat, loss)[indices]
    parameters = SparseParameters(base.flat, indices)
    with parameters.trained():
        loss().backward()
    found = parameters.values.grad
    assert found is not None
    assert found.dtype == torch.float32
    assert F.cosine_similarity(found, expected, dim=0) > 0.99
