"""The floating-point codec that is trained; `export.py` turns it into the integer model that files are made with.

::

    x (dB) --P across block borders--> x' --A, 16 x 16 blocks--> l; l + g_a(l) = y
    y --(y - mu) / delta, round--> k --mu + k delta_hat--> y_hat
    |                                   ^
    h_a --> z --round--> h_s --> mu, sigma
    y_hat + g_s(y_hat) --S--> x_hat' --Q across block borders--> x_hat

The linear path (P, A, S, Q) starts as an orthonormal lapped transform: a 16 x 16 DCT of band sum and difference behind a
filter over the sixteen pixels that straddle a block border (Tran, Liang and Tu 2003, doi:10.1109/TSP.2003.811221, with
unit scaling). It takes out what neighbouring blocks have in common, which in oversampled SAR images is a lot. P, A, S and Q
are 16 x 16 matrices that work down the columns and along the rows. The networks start at zero.
Hyperprior: Balle et al. 2018 (arXiv:1802.01436), means and scales: Minnen et al. 2018 (arXiv:1809.02736). One model for
all rates by a gain per channel and quality: Cui et al. 2021 (arXiv:2003.02012).

Every hidden activation lives on the grid the integer model uses: 8 unsigned bits of `UNIT`. `quantise_aware` switches
the rounding of activations and weights on (straight-through gradients); the clamp is always there.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCK = 16
UNIT = 2.0**-5
"""Step of a hidden activation; its range is [0, 255 UNIT]."""

DB_SCALE = 8.0
"""Networks see dB divided by this."""

HEAD_SCALE = 4.0
KNOTS = 7
STEP_COARSE_DB, STEP_FINE_DB = 28.0, 0.8

GAIN_LIMIT, INVERSE_LIMIT = 0.4, 0.4
"""Bounds of the logarithms of gains. Without them training coarsens the steps of channels that its rasters hardly need
until nothing is left of them, and rasters of finer texture lose theirs at any quality; where scales are small, idle
channels cost next to nothing anyway."""
HYPER_CHANNELS, HYPER_WIDTH = 32, 96


def nominal_step_db(quality: Tensor) -> Tensor:
    """Quantisation step in dB before the gains of the channels; `quality` from 0 (coarse) to 1 (fine)."""
    return STEP_COARSE_DB * torch.exp(-quality * math.log(STEP_COARSE_DB / STEP_FINE_DB))


def dct_matrix(bands: int) -> Tensor:
    """Orthonormal DCT-II matrix ``(16, 16)``; for two bands scaled so that their sum and difference come out orthonormal."""
    k, n = np.mgrid[:BLOCK, :BLOCK]
    dct = np.sqrt(2 / BLOCK) * np.cos(np.pi * (2 * n + 1) * k / (2 * BLOCK))
    dct[0] = np.sqrt(1 / BLOCK)
    return torch.tensor(dct * bands**-0.25, dtype=torch.float32)


def mixed(x: Tensor) -> Tensor:
    """Sum and difference of two bands; one band as it is. Done twice it doubles two bands."""
    return x if x.shape[1] == 1 else torch.stack([x[:, 0] + x[:, 1], x[:, 0] - x[:, 1]], 1)


def dct_iv(size: int) -> np.ndarray:
    """Orthonormal DCT-IV matrix."""
    k, n = np.mgrid[:size, :size] + 0.5
    return np.sqrt(2 / size) * np.cos(np.pi * k * n / size)


def lapping_matrix() -> Tensor:
    """The orthonormal filter across a block border, ``(16, 16)``: eight pixels before it, eight after."""
    half = BLOCK // 2
    k, n = np.mgrid[:half, :half]
    dct = np.sqrt(2 / half) * np.cos(np.pi * (2 * n + 1) * k / (2 * half))
    dct[0] = np.sqrt(1 / half)
    eye, flip = np.eye(half), np.fliplr(np.eye(half))
    butterfly = np.block([[eye, flip], [flip, -eye]])
    rotation = flip @ dct.T @ dct_iv(half) @ flip
    inner = np.block([[eye, 0 * eye], [0 * eye, rotation]])
    return torch.tensor(0.5 * butterfly @ inner @ butterfly, dtype=torch.float32)


def lap(x: Tensor, matrix: Tensor, inverse: bool) -> Tensor:
    """Filter across every inner block border, down the columns and then along the rows; `inverse` the other way round."""
    for vertical in (False, True) if inverse else (True, False):
        x = x if vertical else x.transpose(2, 3)
        b, c, h, w = x.shape
        half = BLOCK // 2
        inner = x[:, :, half:-half].reshape(b, c, h // BLOCK - 1, BLOCK, w)
        inner = torch.einsum("ij,bchjw->bchiw", matrix, inner).reshape(b, c, h - BLOCK, w)
        x = torch.cat([x[:, :, :half], inner, x[:, :, -half:]], dim=2)
        x = x if vertical else x.transpose(2, 3)
    return x


def ste_round(x: Tensor) -> Tensor:
    """Round, with the gradient of the identity."""
    return x + (torch.round(x) - x).detach()


def quantised_weight(weight: Tensor) -> Tensor:
    """Eight-bit weights with a power-of-two step a row, gradient of the identity."""
    peak = weight.detach().abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-8)
    step = torch.exp2(torch.ceil(torch.log2(peak / 127)))
    return ste_round(weight / step) * step


class Conv(nn.Conv2d):
    """A convolution whose weights are rounded to eight bits once `quantise_aware` is set."""

    quantise_aware = False

    def forward(self, x: Tensor) -> Tensor:
        weight = quantised_weight(self.weight) if Conv.quantise_aware else self.weight
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)


def activate(x: Tensor) -> Tensor:
    """Clamp to the range of a hidden activation; round to its grid when training is aware of quantisation."""
    x = x.clamp(0, 255 * UNIT)
    return ste_round(x / UNIT) * UNIT if Conv.quantise_aware else x


class Residual(nn.Module):
    """``relu(x + conv1x1(relu(conv3x3(x))))``; starts as the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.a = Conv(width, width, 3, padding=1)
        self.b = Conv(width, width, 1)
        nn.init.zeros_(self.b.weight)
        nn.init.zeros_(self.b.bias)

    def forward(self, x: Tensor) -> Tensor:
        return activate(x + self.b(activate(self.a(x))))


class Transform(nn.Module):
    """The nonlinear path of analysis or synthesis at the resolution of latents; its output starts at zero."""

    def __init__(self, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.first = Conv(channels, width, 1)
        self.blocks = nn.ModuleList(Residual(width) for _ in range(blocks))
        self.head = Conv(width, channels, 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        h = activate(self.first(x / DB_SCALE))
        for block in self.blocks:
            h = block(h)
        return HEAD_SCALE * self.head(h)


class HyperAnalysis(nn.Module):
    """``h_a``: latents in dB to hyperlatents at half their resolution."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = Conv(channels, width, 1)
        self.second = Conv(width, width, 3, stride=2, padding=1)
        self.head = Conv(width, HYPER_CHANNELS, 3, padding=1)

    def forward(self, y: Tensor) -> Tensor:
        return self.head(activate(self.second(activate(self.first(y / DB_SCALE)))))


class HyperSynthesis(nn.Module):
    """``h_s``: hyperlatents to mean (dB) and log scale of every latent; edges are replicated."""

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.first = Conv(HYPER_CHANNELS, width, 3)
        self.up = Conv(width, 4 * HYPER_WIDTH, 1)
        self.last = Conv(HYPER_WIDTH, HYPER_WIDTH, 3)
        self.head = Conv(HYPER_WIDTH, 2 * channels, 1)
        # Not zero: as long as hyperlatents change nothing, all that an optimiser learns of them is that they cost bits.
        self.head.weight.data *= 0.3
        nn.init.zeros_(self.head.bias)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        h = activate(self.first(F.pad(z, (1, 1, 1, 1), mode="replicate")))
        h = F.pixel_shuffle(activate(self.up(h)), 2)
        h = activate(self.last(F.pad(h, (1, 1, 1, 1), mode="replicate")))
        mean, log_scale = self.head(h).float().chunk(2, 1)
        return HEAD_SCALE * mean, log_scale


def gaussian_bits(value: Tensor, scale: Tensor) -> Tensor:
    """Bits of integers under a zero-mean Gaussian of that scale, integrated over each unit interval."""
    scale, value = scale.clamp(min=0.08), value.abs()
    mass = torch.special.ndtr((0.5 - value) / scale) - torch.special.ndtr((-0.5 - value) / scale)
    return -torch.log2(mass.clamp(min=1e-7))


class Codec(nn.Module):
    """The whole codec for one band or a pair of bands."""

    def __init__(self, bands: int, width: int, blocks: int) -> None:
        super().__init__()
        self.bands, self.channels = bands, bands * BLOCK**2
        n, matrix = self.channels, dct_matrix(bands)
        self.A = nn.Parameter(matrix.clone())
        self.S = nn.Parameter(matrix.t().clone())
        self.P = nn.Parameter(lapping_matrix())
        self.Q = nn.Parameter(lapping_matrix().t().clone())
        self.g_a, self.g_s = Transform(n, width, blocks), Transform(n, width, blocks)
        self.h_a, self.h_s = HyperAnalysis(n, width), HyperSynthesis(n, width)
        self.log_std = nn.Parameter(torch.ones(n))
        self.z_log_scale = nn.Parameter(torch.zeros(HYPER_CHANNELS))
        self.gain = nn.Parameter(torch.zeros(KNOTS, n))
        self.inverse_gain = nn.Parameter(torch.zeros(KNOTS, n))

    @torch.no_grad()
    def start_from(self, batches: Iterable[Tensor]) -> None:
        """Set the channels' standard deviations to those of the linear path's latents of some batches ``(n, bands, h, w)``.

        They span three orders of magnitude, which an optimiser's even steps would take ten thousand steps to cover.
        """
        squares = torch.stack([self.linear_analysis(x).square().mean((0, 2, 3)) for x in batches])
        self.log_std.copy_(0.5 * squares.mean(0).clamp(min=1e-6).log())

    def deltas(self, quality: Tensor) -> tuple[Tensor, Tensor]:
        """Steps in dB, ``(batch, channels)``: of the encoder's quantiser and of the decoder's reconstruction."""
        position = quality * (KNOTS - 1)
        low = position.floor().clamp(0, KNOTS - 2).long()
        f = (position - low).unsqueeze(-1)
        step = nominal_step_db(quality).unsqueeze(-1)
        gain = (1 - f) * self.gain[low] + f * self.gain[low + 1]
        inverse = (1 - f) * self.inverse_gain[low] + f * self.inverse_gain[low + 1]
        gain, inverse = (limit * torch.tanh(g / limit) for g, limit in ((gain, GAIN_LIMIT), (inverse, INVERSE_LIMIT)))
        return step * torch.exp(-gain), step * torch.exp(inverse)

    def linear_analysis(self, x: Tensor) -> Tensor:
        """Latents of the linear path alone."""
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            x = mixed(lap(x.float(), self.P, inverse=False))
            b, c, h, w = x.shape
            x = x.reshape(b, c, h // BLOCK, BLOCK, w // BLOCK, BLOCK)
            y = torch.einsum("ui,bcrisj,vj->bcuvrs", self.A, x, self.A)
            y = y.reshape(b, self.channels, h // BLOCK, w // BLOCK)
        return y.contiguous(memory_format=torch.channels_last)

    def analysis(self, x: Tensor) -> Tensor:
        """Latents of pixels."""
        y = self.linear_analysis(x)
        return y + self.g_a(y).float()

    def synthesis(self, y_hat: Tensor) -> Tensor:
        y = y_hat.float() + self.g_s(y_hat).float()
        with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
            b, _, h, w = y.shape
            y = y.reshape(b, self.bands, BLOCK, BLOCK, h, w)
            x = torch.einsum("iu,bcuvrs,jv->bcrisj", self.S, y, self.S)
            return lap(mixed(x.reshape(b, self.bands, h * BLOCK, w * BLOCK)), self.Q, inverse=True)

    def forward(self, x: Tensor, quality: Tensor, noise: float = 0.3) -> tuple[Tensor, Tensor, Tensor]:
        """Return ``(x_hat, bits of y, bits of z)``, bits a sample of the batch; `noise` is the share of noisy steps."""
        y = self.analysis(x)
        z = self.h_a(y).float()
        z_hat = ste_round(z).clamp(-127, 127)
        z_rate = z + torch.rand_like(z) - 0.5 if self.training else z_hat
        z_bits = gaussian_bits(z_rate, torch.exp(self.z_log_scale)[:, None, None]).sum((1, 2, 3))
        mean, log_scale = self.h_s(z_hat)
        delta, delta_hat = (d[:, :, None, None] for d in self.deltas(quality))
        scale = torch.exp((log_scale + self.log_std[:, None, None]).clamp(-6, 7)) / delta
        k = (y - mean) / delta
        noisy = k + torch.rand_like(k) - 0.5 if self.training else torch.round(k)
        y_bits = gaussian_bits(noisy, scale).sum((1, 2, 3))
        k_hat = noisy if self.training and float(torch.rand(())) < noise else ste_round(k)
        return self.synthesis(mean + k_hat * delta_hat), y_bits, z_bits
