"""Augmentation on the whole batch at once: placing the drawing on a background and disturbing the result."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from tools.pretrain.model import IMAGE_SIZE

STRONG_SHARE = 0.25


def augment(rgba: Tensor, monochrome: Tensor, generator: torch.Generator) -> Tensor:
    """`(B, H, W, 4)` uint8 drawings to `(B, 3, 64, 64)` pictures in 0..1.

    One batch in four is disturbed strongly; the others are only cut and mirrored. Strong disturbance of every batch
    made a small model learn several times slower than the training time allows.
    """
    if torch.rand((), generator=generator, device=rgba.device).item() < STRONG_SHARE:
        return strong(rgba, monochrome, generator)
    return light(rgba, monochrome, generator)


def light(rgba: Tensor, monochrome: Tensor, generator: torch.Generator) -> Tensor:
    """White or one plain colour behind, one random cut for the whole batch, and mirror images."""
    pictures = rgba.permute(0, 3, 1, 2).float() / 255
    colour, alpha = _tint(pictures[:, :3], monochrome, generator), pictures[:, 3:]
    plain = _uniform(pictures, generator, 0.3, 1.0, 3)[:, :, None, None]
    white = _uniform(pictures, generator, 0, 1)[:, :, None, None] < 0.85
    background = torch.where(white, torch.ones_like(plain), plain)
    composed = background + (colour - background) * alpha
    margin = int(torch.randint(0, 13, (), generator=generator, device=rgba.device))
    shift = torch.randint(-min(margin, 6), min(margin, 6) + 1, (2,), generator=generator, device=rgba.device)
    down, right = (int(v) for v in shift)
    padded = F.pad(composed, [margin + right, margin - right, margin + down, margin - down], mode="replicate")
    small = F.interpolate(padded, size=IMAGE_SIZE, mode="bilinear", antialias=True)
    mirrored = _uniform(pictures, generator, 0, 1)[:, :, None, None] < 0.5
    return torch.where(mirrored, small.flip(3), small)


def strong(rgba: Tensor, monochrome: Tensor, generator: torch.Generator) -> Tensor:
    """The same with rotation, shifts, stretching, varied backgrounds, colour changes and blur."""
    pictures = rgba.permute(0, 3, 1, 2).float() / 255
    colour = _tint(pictures[:, :3], monochrome, generator)
    alpha = pictures[:, 3:]
    drawn = _place(torch.cat([colour * alpha, alpha], dim=1), generator)
    background = _background(drawn, generator)
    composed = drawn[:, :3] + background * (1 - drawn[:, 3:])
    return _disturb(composed, generator).clamp(0, 1)


def on_white(rgba: Tensor) -> Tensor:
    """Drawings on white at the model's size, as the samples are: for probing while training."""
    pictures = rgba.permute(0, 3, 1, 2).float() / 255
    composed = pictures[:, :3] * pictures[:, 3:] + 1 - pictures[:, 3:]
    return F.interpolate(composed, size=IMAGE_SIZE, mode="bicubic", antialias=True).clamp(0, 1)


def _uniform(like: Tensor, generator: torch.Generator, low: float, high: float, width: int = 1) -> Tensor:
    values = torch.rand((len(like), width), generator=generator, device=like.device)
    return low + (high - low) * values


def _tint(colour: Tensor, monochrome: Tensor, generator: torch.Generator) -> Tensor:
    """Glyphs drawn in black take any colour: otherwise their set would be known by it."""
    ink = _uniform(colour, generator, 0.0, 0.5, 3)[:, :, None, None]
    return torch.where(monochrome[:, None, None, None], ink.expand_as(colour), colour)


def _place(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Random scale, position, small rotation and mirror image, by one resampling."""
    angle = _uniform(pictures, generator, -math.pi / 18, math.pi / 18)[:, 0]
    angle = torch.where(_uniform(pictures, generator, 0, 1)[:, 0] < 0.3, angle, torch.zeros_like(angle))
    zoom = _uniform(pictures, generator, 0.95, 1.25)[:, 0]
    squeeze = _uniform(pictures, generator, 0.92, 1.08)[:, 0]
    mirror = torch.where(_uniform(pictures, generator, 0, 1)[:, 0] < 0.5, -1.0, 1.0)
    shift = _uniform(pictures, generator, -1, 1, 2) * (0.08 + (zoom - 1).clamp(min=0))[:, None] * 0.7
    cos, sin = torch.cos(angle) * zoom, torch.sin(angle) * zoom
    theta = torch.stack(
        [
            torch.stack([cos * mirror * squeeze, -sin, shift[:, 0]], dim=1),
            torch.stack([sin * mirror * squeeze, cos, shift[:, 1]], dim=1),
        ],
        dim=1,
    )
    grid = F.affine_grid(theta, [len(pictures), 4, IMAGE_SIZE, IMAGE_SIZE], align_corners=False)
    return F.grid_sample(pictures, grid, align_corners=False)


def _background(like: Tensor, generator: torch.Generator) -> Tensor:
    """White for seven in ten, else a plain colour, a gradient or coarse noise."""
    size = IMAGE_SIZE
    first = _uniform(like, generator, 0.3, 1.0, 3)[:, :, None, None]
    second = _uniform(like, generator, 0.3, 1.0, 3)[:, :, None, None]
    angle = _uniform(like, generator, 0, 2 * math.pi)[:, :, None]
    axis = torch.linspace(-0.5, 0.5, size, device=like.device)
    ramp = (0.5 + 0.7 * (torch.cos(angle) * axis[None, :, None] + torch.sin(angle) * axis[None, None, :]))[:, None]
    coarse = torch.rand((len(like), 1, 8, 8), generator=generator, device=like.device)
    mottled = F.interpolate(coarse, size=size, mode="bilinear")
    kind = _uniform(like, generator, 0, 1)[:, :, None, None]
    blend = torch.where(kind < 0.95, ramp, mottled) * (kind > 0.85)
    plain = first + (second - first) * blend
    return torch.where(kind < 0.7, torch.ones_like(plain), plain)


def _disturb(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Colour shifts, loss of colour and blur, each for some."""
    mix = torch.eye(3, device=pictures.device) + 0.08 * torch.randn(
        (len(pictures), 3, 3), generator=generator, device=pictures.device
    )
    mixed = torch.einsum("bij,bjhw->bihw", mix, pictures)
    keep = _uniform(pictures, generator, 0, 1)[:, :, None, None]
    pictures = torch.where(keep < 0.7, pictures, mixed)
    grey = pictures.mean(dim=1, keepdim=True).expand_as(pictures)
    pictures = torch.where(_uniform(pictures, generator, 0, 1)[:, :, None, None] < 0.05, grey, pictures)
    blurred = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    blur = _uniform(pictures, generator, 0, 1)[:, :, None, None] < 0.1
    return torch.where(blur, blurred, pictures)
