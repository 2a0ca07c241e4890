"""One training step of each method, as its users would run it. All share the loss: cross-entropy over class prompts."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.models import TEMPLATE, endless_batches, labels
from saft_core.clip.backbone import Base
from saft_core.clip.flat import IndexArray
from saft_core.clip.zero_shot import fill
from saft_core.tuning.class_prompts import ClassPrompts
from saft_core.tuning.config import TrainingConfig
from saft_core.tuning.loaders import PixelLoader
from saft_core.tuning.loss import ClassPromptLoss
from saft_core.tuning.precision import autocast
from saft_core.tuning.training import Training

RATE, DECAY = 5e-6, 0.1
Step = Callable[[], object]
Factory = Callable[[Base, PixelLoader, int, IndexArray], Step]


def config(epochs: int = 1000) -> TrainingConfig:
    """The paper's settings."""
    return TrainingConfig(
        density=0.001, learning_rate=RATE, epochs=epochs, batch_size=32, weight_decay=DECAY, template=TEMPLATE,
        encoders="both", seed=0,
    )  # fmt: skip


def _dense_step(base: Base, loader: PixelLoader, classes: int, parameters: list[nn.Parameter]) -> Step:
    """AdamW on `parameters`, all prompts at full context, as other code does it."""
    model = base.model
    tokens = base.tokenize(fill(TEMPLATE, labels(classes))).to(base.device)
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=DECAY)
    batches = endless_batches(loader)

    def step() -> None:
        pixels, targets = next(batches)
        optimizer.zero_grad()
        with autocast(base.device):
            images = model.encode_image(pixels, normalize=True)  # type: ignore[operator]
            texts = model.encode_text(tokens, normalize=True)  # type: ignore[operator]
            loss = F.cross_entropy(model.logit_scale.exp() * images @ texts.T, targets)  # type: ignore[operator]
        loss.backward()
        optimizer.step()

    return step


def full(base: Base, loader: PixelLoader, classes: int, _: IndexArray) -> Step:
    """Full fine-tuning."""
    return _dense_step(base, loader, classes, list(base.model.parameters()))


def paper(base: Base, loader: PixelLoader, classes: int, indices: IndexArray) -> Step:
    """The paper's listing: full fine-tuning, and after each step everything outside the mask is put back."""
    parameters = list(base.model.parameters())
    start = [parameter.detach().clone() for parameter in parameters]
    mask = torch.zeros(base.parameter_count, dtype=torch.bool, device=base.device)
    mask[torch.from_numpy(indices).to(base.device)] = True
    masks = [part.view_as(p) for part, p in zip(mask.split([p.numel() for p in parameters]), parameters, strict=True)]
    dense = _dense_step(base, loader, classes, parameters)

    def step() -> None:
        dense()
        with torch.no_grad():
            for parameter, initial, chosen in zip(parameters, start, masks, strict=True):
                parameter.copy_(torch.where(chosen, parameter, initial))

    return step


def saft(base: Base, loader: PixelLoader, classes: int, indices: IndexArray) -> Step:
    """Ours: one optimizer step of `Training`, without the loop around it."""
    training = Training(ClassPromptLoss(base, loader, labels(classes), config()), indices, config())
    order = iter(np.arange(len(loader)).reshape(-1, 32).tolist() * 1000)
    for_good = ExitStack()  # kept alive by the step: the context must not end before the process
    for_good.enter_context(training.trained())

    def step() -> float:
        assert for_good is not None  # noqa: S101 (holds it)
        return training.take_step(next(order))

    return step


def forward(base: Base, loader: PixelLoader, classes: int, _: IndexArray) -> Step:
    """The limit: the forward pass alone, prompts at the length they have."""
    prompts = ClassPrompts(base, labels(classes), TEMPLATE)
    batches = endless_batches(loader)

    @torch.inference_mode()
    def step() -> Tensor:
        with autocast(base.device):
            return base.encode_pixels(next(batches)[0]) @ prompts.encode().T

    return step


def lora(base: Base, loader: PixelLoader, classes: int, _: IndexArray) -> Step:
    """peft's LoRA of rank 2 on queries and values.

    open_clip packs queries, keys and values in one weight of nn.MultiheadAttention, which peft can only adapt as a
    whole, merging it anew in each forward. So the attention is first written with one nn.Linear for each, which is
    what LoRA on q and v means, and is the faster form. A convolutional tower has no such attention: its pooling is left
    as it is, so with the embedded base only the text tower is adapted.
    """
    from peft import inject_adapter_in_model  # noqa: PLC0415 (an extra)

    unpack_attention(base.model)
    inject_adapter_in_model(lora_config(), base.model)
    return _dense_step(base, loader, classes, [p for p in base.model.parameters() if p.requires_grad])


def lora_config() -> Any:
    """peft's LoRA of rank 2 on the queries and values of unpacked attention, for training and serving alike."""
    from peft import LoraConfig  # noqa: PLC0415 (an extra)

    return LoraConfig(r=2, lora_alpha=4, target_modules=r".*attn\.(q_proj|v_proj)")


def shira(base: Base, loader: PixelLoader, classes: int, indices: IndexArray) -> Step:
    """peft's SHiRA with its random mask on all linear layers of the transformers, of about as many entries as ours."""
    from peft import ShiraConfig, inject_adapter_in_model  # noqa: PLC0415 (an extra)

    unpack_attention(base.model)
    names = r".*(attn\.(q_proj|k_proj|v_proj|out_proj)|c_fc|c_proj)"
    sides = sum(
        sum(module.weight.shape)
        for name, module in base.model.named_modules()
        if isinstance(module, nn.Linear)
        and name.split(".")[-1] in ("q_proj", "k_proj", "v_proj", "out_proj", "c_fc", "c_proj")
    )
    rank = max(1, math.floor(len(indices) / sides))
    inject_adapter_in_model(ShiraConfig(r=rank, target_modules=names), base.model)
    return _dense_step(base, loader, classes, [p for p in base.model.parameters() if p.requires_grad])


class UnpackedAttention(nn.Module):
    """nn.MultiheadAttention over one sequence, batch first, with a linear layer for each projection."""

    def __init__(self, packed: nn.MultiheadAttention) -> None:
        super().__init__()
        width = packed.embed_dim
        self.heads = packed.num_heads
        self.q_proj, self.k_proj, self.v_proj = (nn.Linear(width, width) for _ in range(3))
        self.out_proj = nn.Linear(width, width)
        self.out_proj.load_state_dict(packed.out_proj.state_dict())
        for part, (weight, bias) in zip(
            (self.q_proj, self.k_proj, self.v_proj),
            zip(packed.in_proj_weight.chunk(3), packed.in_proj_bias.chunk(3), strict=True),
            strict=True,
        ):
            part.load_state_dict({"weight": weight, "bias": bias})

    def forward(
        self, q: Tensor, *_: Tensor, attn_mask: Tensor | None = None, need_weights: bool = False
    ) -> tuple[Tensor, None]:
        """(N, L, E) to (N, L, E), in the form that open_clip's blocks call."""
        del need_weights
        shape = (*q.shape[:2], self.heads, -1)
        query, key, value = (layer(q).view(shape).transpose(1, 2) for layer in (self.q_proj, self.k_proj, self.v_proj))
        mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=attn_mask)
        return self.out_proj(mixed.transpose(1, 2).flatten(2)), None


def unpack_attention(model: nn.Module) -> None:
    """Freeze `model`, and write each packed attention in it as an UnpackedAttention."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    for module in list(model.modules()):
        if isinstance(getattr(module, "attn", None), nn.MultiheadAttention):
            module.attn = UnpackedAttention(module.attn)  # type: ignore[arg-type]
            module.attn.requires_grad_(False)


METHODS: dict[str, Factory] = {
    "paper": paper, "full": full, "lora": lora, "shira": shira, "saft": saft, "forward": forward,
}  # fmt: skip
