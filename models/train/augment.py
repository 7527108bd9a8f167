"""Changes of a batch of images, drawn sample by sample: geometry, sharpness, noise, grey levels. Images are (N, C, H, W)."""

import math

import torch
from torch.nn import functional as F


def uniform(n, low, high, generator):
    return torch.rand(n, generator=generator) * (high - low) + low


def warp(images, generator, *, turn=12.0, scale=(0.85, 1.15), stretch=0.1, shift=0.08, flip_x=True, flip_y=False, quarter=False, extra=None):
    """Turns by degrees, zooms, stretches, shifts by a share of the size and mirrors; `extra` (same size) goes along with it."""
    n = len(images)
    angle = uniform(n, -turn, turn, generator) * math.pi / 180
    if quarter:
        angle = angle + torch.randint(4, (n,), generator=generator) * math.pi / 2
    zoom = 1 / uniform(n, *scale, generator)
    ratio = torch.exp(uniform(n, -stretch, stretch, generator))
    mirror_x = 1 - 2 * (torch.rand(n, generator=generator) < 0.5).float() * flip_x
    mirror_y = 1 - 2 * (torch.rand(n, generator=generator) < 0.5).float() * flip_y
    cos, sin = torch.cos(angle), torch.sin(angle)
    dx, dy = uniform(n, -shift, shift, generator), uniform(n, -shift, shift, generator)
    row_x = torch.stack([cos * zoom * ratio * mirror_x, -sin * zoom / ratio, dx], 1)
    row_y = torch.stack([sin * zoom * ratio, cos * zoom / ratio * mirror_y, dy], 1)
    grid = F.affine_grid(torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False)
    warped = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    if extra is None:
        return warped
    return warped, F.grid_sample(extra, grid, padding_mode="zeros", align_corners=False)


def sharpness(images, generator, most=1.0):
    """Between blurred and sharpened, as another reconstruction kernel would: image + a * (image - blurred)."""
    blurred = F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, 1)
    amount = uniform(len(images), -1.0, most, generator).view(-1, 1, 1, 1)
    return images + amount * (images - blurred)


def noise(images, generator, most=0.05):
    """White noise, or noise with grains of two pixels."""
    n, c, h, w = images.shape
    fine = torch.randn(n, c, h, w, generator=generator)
    coarse = F.interpolate(torch.randn(n, c, h // 2, w // 2, generator=generator), size=(h, w), mode="bilinear")
    mix = (torch.rand(n, generator=generator) < 0.5).float().view(-1, 1, 1, 1)
    level = (torch.rand(n, generator=generator) ** 2 * most).view(-1, 1, 1, 1)
    return images + level * (mix * fine + (1 - mix) * coarse)


def levels(images, generator, gain=0.12, offset=0.08, gamma=0.25):
    """Gain, offset and gamma; images in about 0..1."""
    n = len(images)
    power = torch.exp(uniform(n, -gamma, gamma, generator)).view(-1, 1, 1, 1)
    factor = (1 + uniform(n, -gain, gain, generator)).view(-1, 1, 1, 1)
    return images.clamp(min=0) ** power * factor + uniform(n, -offset, offset, generator).view(-1, 1, 1, 1)


def cutout(images, generator, share=0.3, fill=0.0):
    """Blanks one rectangle in half of the images."""
    n, _, h, w = images.shape
    out = images.clone()
    for i in range(n):
        if torch.rand(1, generator=generator) < 0.5:
            rows = int(h * float(uniform(1, 0.1, share, generator)))
            columns = int(w * float(uniform(1, 0.1, share, generator)))
            y = int(torch.randint(h - rows, (1,), generator=generator))
            x = int(torch.randint(w - columns, (1,), generator=generator))
            out[i, :, y : y + rows, x : x + columns] = fill
    return out
