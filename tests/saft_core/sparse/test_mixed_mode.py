"""Whatever is done to a parameter: the mixed route gives each row its own answer or refuses. It is never wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from saft_core.clip.flat import FlatParameters
from saft_core.delta import SparseDelta
from saft_core.sparse.batch_delta import BatchDelta, Row
from saft_core.sparse.call import Unsupported
from saft_core.sparse.loaded_delta import load_delta
from saft_core.sparse.mixed_mode import MixedBatchMode
from tests.fixtures.device import here

pytestmark = pytest.mark.gpu

ROWS, TOKENS, WIDTH = 3, 5, 8
Use = Callable[["Some", Tensor], Any]


class Some(nn.Module):
    """Parameters of many shapes, and how they are used."""

    mean: Tensor
    variance: Tensor
    wide_mean: Tensor
    wide_variance: Tensor
    index: Tensor
    as_many_as_rows: Tensor

    def __init__(self, use: Use) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.use = use
        self.vector, self.other = nn.Parameter(torch.rand(WIDTH) + 0.5), nn.Parameter(torch.randn(WIDTH))
        self.square, self.token = nn.Parameter(torch.randn(WIDTH, WIDTH)), nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places, self.number = nn.Parameter(torch.randn(TOKENS, WIDTH)), nn.Parameter(torch.tensor(0.7))
        self.kernel, self.each = nn.Parameter(torch.randn(WIDTH, WIDTH, 1)), nn.Parameter(torch.randn(WIDTH, 1, 3))
        self.packed = nn.Parameter(torch.randn(3 * WIDTH, WIDTH))
        self.few = nn.Parameter(torch.randn(ROWS, WIDTH))
        self.bias_table = nn.Parameter(torch.randn(9, 2))
        self.wide, self.each_wide = nn.Parameter(torch.randn(16, WIDTH, 1)), nn.Parameter(torch.randn(16, 1, 3))
        self.wide_vector = nn.Parameter(torch.rand(16) + 0.5)
        self.register_buffer("mean", torch.randn(WIDTH))
        self.register_buffer("variance", torch.rand(WIDTH) + 0.5)
        self.register_buffer("wide_mean", torch.randn(16))
        self.register_buffer("wide_variance", torch.rand(16) + 0.5)
        self.register_buffer("index", torch.randint(0, 9, (TOKENS, TOKENS)))
        self.register_buffer("as_many_as_rows", torch.randn(ROWS, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) of `x` (B, TOKENS, WIDTH)."""
        y: Tensor = self.use(self, x)
        return y


def answers(use: Use) -> tuple[Tensor, Tensor]:
    """Of the mixed route, and of each row's own model alone. Raises Unsupported as the mixed route does."""
    model = Some(use).eval().to(here())
    flat = FlatParameters(model)
    generator = np.random.default_rng(0)
    deltas = []
    for row in range(ROWS):
        indices = np.arange(row % 2, len(flat), 2)
        values = generator.normal(0, 0.3, len(indices)).astype(np.float32)
        deltas.append(load_delta(SparseDelta(indices, values), flat))
    x = torch.randn(ROWS, TOKENS, WIDTH).to(here())
    before = flat.sha256()
    constants = frozenset(buffer.untyped_storage().data_ptr() for buffer in model.buffers())
    batch = BatchDelta(flat, range(len(flat.slots)), [Row(delta) for delta in deltas])
    try:
        with torch.inference_mode(), MixedBatchMode(flat, batch, constants):
            mixed = model(x.clone())
    finally:
        assert flat.sha256() == before, "the base was written to"
    alone = []
    for row, delta in enumerate(deltas):
        with torch.inference_mode(), flat.added(delta.positions.long(), delta.values):
            alone.append(model(x[row : row + 1].clone()))
    return mixed, torch.cat(alone)


def images(x: Tensor) -> Tensor:
    """(B, WIDTH, 2, 2) of activations."""
    return x[:, :4].transpose(1, 2).reshape(len(x), WIDTH, 2, 2).contiguous()


def heads(x: Tensor) -> Tensor:
    """(B, 2, TOKENS, WIDTH / 2) of activations."""
    return x.view(len(x), TOKENS, 2, -1).transpose(1, 2)


class Reader:
    """A parameter's value, as Python's own."""

    def __init__(self, read: Callable[[Tensor], Any]) -> None:
        self.read = read

    def __call__(self, m: Some, x: Tensor) -> Tensor:
        scaled: Tensor = x * self.read(m.number)
        return scaled


def in_place(m: Some, x: Tensor) -> Tensor:
    m.vector.mul_(2)
    return x * m.vector


def into_a_view(m: Some, x: Tensor) -> Tensor:
    m.square[0] = 1.0
    return F.linear(x, m.square)


def out(m: Some, x: Tensor) -> Tensor:
    torch.add(x[0, 0], 1.0, out=m.other.data)
    return x + m.other


def out_of_a_sum(m: Some, x: Tensor) -> Tensor:
    y = torch.empty_like(x)
    torch.add(x, m.vector, out=y)
    return y


def control_flow(m: Some, x: Tensor) -> Tensor:
    return x if m.number > 0.6 else -x


def multihead(m: Some, x: Tensor, mask: Tensor) -> Tensor:
    sequences = x.transpose(0, 1)
    found, _ = F.multi_head_attention_forward(
        sequences, sequences, sequences, WIDTH, 2, m.packed, None, None, None, False, 0.0, m.square, m.vector,
        training=False, need_weights=False, attn_mask=mask,
    )  # fmt: skip
    return found.transpose(0, 1)


UPPER = torch.ones(TOKENS, TOKENS, dtype=torch.bool, device=here()).triu(1)


def normed(m: Some, x: Tensor) -> Tensor:
    return F.batch_norm(x, m.mean, m.variance, m.vector, m.other)


def convolved(m: Some, x: Tensor) -> Tensor:
    return F.conv2d(images(x), m.kernel[..., None], m.vector)


def norm_of_what_was_used_before(m: Some, x: Tensor) -> Tensor:
    y = convolved(m, x)
    view = y.flatten(2)
    result: Tensor = normed(m, y) + view.unflatten(2, y.shape[2:])
    return result


def norm_of_what_is_used_after(m: Some, x: Tensor) -> Tensor:
    y = convolved(m, x)
    return normed(m, y) + y.exp()


EXACT: dict[str, Use] = {
    "F.linear": lambda m, x: F.linear(x, m.square, m.vector),
    "F.linear, by keywords": lambda m, x: F.linear(bias=m.vector, weight=m.square, input=x),
    "torch._C._nn.linear": lambda m, x: torch._C._nn.linear(x, m.square, m.vector),
    "linear on four dimensions": lambda m, x: F.linear(x[:, None], m.square, m.vector),
    "@": lambda m, x: x @ m.square,
    "torch.matmul, by keywords": lambda m, x: torch.matmul(input=x, other=m.square),
    "@ of a transposed parameter": lambda m, x: x @ m.square.t(),
    "@ of a property": lambda m, x: x @ m.square.T,
    "F.layer_norm": lambda m, x: F.layer_norm(x, (WIDTH,), m.vector, m.other),
    "F.layer_norm, by keywords": lambda m, x: F.layer_norm(x, (WIDTH,), bias=m.other, weight=m.vector, eps=1e-3),
    "layer norm of channels": lambda m, x: F.layer_norm(
        images(x).permute(0, 2, 3, 1), (WIDTH,), m.vector, m.other
    ).permute(0, 3, 1, 2),
    "F.batch_norm": lambda m, x: F.batch_norm(images(x), m.mean, m.variance, m.vector, m.other),
    "batch norm, channels last": lambda m, x: F.batch_norm(
        images(x).contiguous(memory_format=torch.channels_last), m.mean, m.variance, m.vector, m.other
    ),
    "F.conv2d": lambda m, x: F.conv2d(images(x), m.kernel[..., None], m.vector),
    "F.conv2d, by keywords": lambda m, x: F.conv2d(images(x), bias=m.vector, weight=m.kernel[..., None], padding=1),
    "depthwise convolution": lambda m, x: F.conv2d(
        images(x), m.each[..., None], m.vector, padding=(1, 0), groups=WIDTH
    ),
    "dilated convolution": lambda m, x: F.conv2d(images(x), m.each[..., None], None, 1, 3, 2, WIDTH),
    "convolution, channels last": lambda m, x: F.conv2d(
        images(x).contiguous(memory_format=torch.channels_last), m.kernel[..., None], m.vector
    ),
    "batch norm of a convolution": lambda m, x: normed(m, convolved(m, x)),
    "batch norm of a convolution, twice": lambda m, x: normed(m, normed(m, convolved(m, x))),
    "batch norm of a convolution that was used before": norm_of_what_was_used_before,
    "*": lambda m, x: x * m.vector,
    "* from the left": lambda m, x: m.vector * x,
    "torch.mul": lambda m, x: torch.mul(x, m.vector),
    "a number": lambda m, x: x * m.number.exp(),
    "mul_ of activations": lambda m, x: x.mul_(m.vector),
    "+=": lambda m, x: x.add_(m.vector),
    "-": lambda m, x: x - m.vector,
    "- from the left": lambda m, x: m.vector - x,
    "/": lambda m, x: x / m.vector,
    "add with a factor": lambda m, x: torch.add(x, m.vector, alpha=3),
    "of channels": lambda m, x: images(x) * m.vector.view(-1, 1, 1),
    "+ to the batch alone": lambda m, x: x + m.places,
    "+ to a batch that is second": lambda m, x: (x.transpose(0, 1) + m.places[:, None]).transpose(0, 1),
    "one more token": lambda m, x: torch.cat([m.token.expand(len(x), -1, -1), x], dim=1),
    "one more token, changed before": lambda m, x: torch.cat([(m.token + m.vector).expand(len(x), -1, -1), x], 1),
    "a learned query, projected": lambda m, x: F.linear(m.token.expand(len(x), -1, -1), m.square, m.vector),
    "a learned query behind a norm": lambda m, x: (
        F.layer_norm(m.places, (WIDTH,), m.vector, m.other).unsqueeze(0).expand(len(x), -1, -1) @ m.square
    ),
    "a bias that is joined of parts": lambda m, x: F.linear(
        x, m.square.repeat(2, 1)[: WIDTH + 4], torch.cat([m.vector, m.other[:4]])
    ),
    "joined of a parameter and a buffer": lambda m, x: F.linear(
        x, m.square.repeat(2, 1), torch.cat([m.vector, m.mean])
    ),
    "made of a buffer of as many rows as the batch": lambda m, x: x @ (m.as_many_as_rows * m.vector).t(),
    "made of a parameter of as many rows as the batch": lambda m, x: x @ F.layer_norm(m.few, (WIDTH,), m.vector).t(),
    "embedding": lambda m, x: F.embedding((x[..., 0] > 0).long(), m.places),
    "a mask of relative positions": lambda m, x: F.scaled_dot_product_attention(
        heads(x), heads(x), heads(x), m.bias_table[m.index].permute(2, 0, 1)[None]
    ),
    "attention": lambda m, x: multihead(m, x, torch.zeros(UPPER.shape, device=here()).masked_fill(UPPER, -torch.inf)),
    "metadata": lambda m, x: x * m.vector.shape[0] * m.square.dim() * len(m.places) * m.vector,
}

REFUSED: dict[str, Use] = {
    "torch.batch_norm, whose arguments are in another order": lambda m, x: torch.batch_norm(
        images(x), m.vector, m.other, m.mean, m.variance, False, 0.1, 1e-5, False
    ),
    "torch.layer_norm": lambda m, x: torch.layer_norm(x, (WIDTH,), m.vector, m.other),
    "torch.embedding": lambda m, x: torch.embedding(m.places, (x[..., 0] > 0).long()),
    "torch.addmm": lambda m, x: torch.addmm(m.vector, x[:, 0], m.square),
    "torch.baddbmm": lambda m, x: torch.baddbmm(m.token, x, m.square.expand(len(x), -1, -1)),
    "torch.einsum": lambda m, x: torch.einsum("btw,wv->btv", x, m.square),
    "torch.prelu": lambda m, x: F.prelu(x.transpose(1, 2), m.vector),
    "torch.ops": lambda m, x: torch.ops.aten.mul(x, m.vector),
    "item()": Reader(Tensor.item),
    "tolist()": Reader(Tensor.tolist),
    "float()": Reader(float),
    "int()": Reader(lambda number: int(number * 10)),
    "numpy()": Reader(lambda number: float(number.detach().numpy())),
    "bool()": control_flow,
    "in place": in_place,
    "into a view": into_a_view,
    "out": out,
    "out of a sum": out_of_a_sum,
    "attention with a mask of bools": lambda m, x: multihead(m, x, UPPER),
    "a batch that is second, for a layer": lambda m, x: F.linear(x.transpose(0, 1), m.square).transpose(0, 1),
    "a convolution that pads by itself": lambda m, x: F.conv2d(images(x), m.kernel[..., None], padding="same"),
    "a convolution that is used again after its batch norm": norm_of_what_is_used_after,
    "batch norm by the batch": lambda m, x: F.batch_norm(images(x), None, None, m.vector, m.other, True),
}


@pytest.mark.parametrize("use", EXACT.values(), ids=EXACT.keys())
def test_each_row_is_answered_as_alone(use: Use) -> None:
    mixed, alone = answers(use)
    torch.testing.assert_close(mixed, alone, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("use", REFUSED.values(), ids=REFUSED.keys())
def test_what_is_not_known_is_refused_and_nothing_is_written(use: Use) -> None:
    with pytest.raises(Unsupported):
        answers(use)


def test_the_reason_names_the_function_with_its_module() -> None:
    with pytest.raises(Unsupported, match=r"torch\.prelu|torch\.nn\.functional\.prelu"):
        answers(REFUSED["torch.prelu"])


@pytest.mark.parametrize("use", ["batch norm, channels last", "convolution, channels last"])
def test_channels_stay_last_in_memory(use: str) -> None:
    mixed, _ = answers(EXACT[use])
    assert mixed.is_contiguous(memory_format=torch.channels_last)
    assert not mixed.is_contiguous()
