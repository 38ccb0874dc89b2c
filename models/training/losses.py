"""What training minimises, term by term.

::

    L = R + (MSE + w (1 - MS-SSIM)) / (2 ln 2 D(q))

R is bits a band pixel, MSE the mean squared error in dB^2, w the recipe's `ms_ssim_db2`. D(q) is `BALANCE` times the error
of a uniform quantiser of the quality's nominal step s, s^2 / 12. At high rates a codec spends -dR/dD = 1 / (2 ln 2 D) bits
on its error D, so that the balance of rate and error is reached near D(q), for every quality q with the same weights.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from model import nominal_step_db
from torch import Tensor

BALANCE = 0.8

MS_SSIM_RANGE_DB = 30.0
"""The range of brightness in the sense of MS-SSIM: what a backscatter image is usually displayed with."""


@dataclass(frozen=True, slots=True)
class Loss:
    """The loss and its terms, each a scalar tensor averaged over the batch."""

    total: Tensor
    bpp: Tensor
    """Estimated bits a band pixel."""
    mse_db2: Tensor
    """Squared error in dB^2."""
    ms_ssim: Tensor | None
    """Multiscale structural similarity; None where its weight is 0."""

    def scalars(self) -> dict[str, float]:
        """The terms by name, for logs; the error as its root in dB."""
        terms = {"total": self.total.item(), "bpp": self.bpp.item(), "rmse_db": math.sqrt(self.mse_db2.item())}
        return terms if self.ms_ssim is None else terms | {"ms_ssim": self.ms_ssim.item()}


def rate_distortion_loss(x: Tensor, x_hat: Tensor, bits: Tensor, quality: Tensor, ms_ssim_db2: float = 0.0) -> Loss:
    """The loss of a batch.

    Parameters
    ----------
    x, x_hat
        Original and decoded decibels, ``(batch, bands, height, width)``.
    bits, quality
        ``(batch,)``: estimated bits of each sample; its quality from 0 to 1.
    ms_ssim_db2
        Weight of the MS-SSIM term in dB^2; 0 leaves it out.
    """
    bpp = bits / x[0].numel()
    mse = ((x_hat - x) ** 2).mean((1, 2, 3))
    distortion, similarity = mse, None
    if ms_ssim_db2:
        similarity = ms_ssim(x, x_hat)
        distortion = mse + ms_ssim_db2 * (1 - similarity)
    balance = BALANCE * nominal_step_db(quality) ** 2 / 12
    total = bpp + distortion / (2 * math.log(2) * balance)
    return Loss(total.mean(), bpp.mean(), mse.mean(), None if similarity is None else similarity.mean())


def ms_ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Multiscale structural similarity of decibel images, ``(batch,)`` from 0 to 1, 1 for equal images.

    Wang, Simoncelli and Bovik 2003 (doi:10.1109/ACSSC.2003.1292216), five scales. Raises ValueError for images of less than
    176 pixels a side, which are too small for them.
    """
    # Loading torchmetrics takes seconds, and few recipes have this term.
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    # "simple" maps each scale's contrast from [-1, 1] to [0, 1]. The usual clipping of negative ones at 0 leaves
    # coarsely coded speckle without a gradient.
    similarity: Tensor = multiscale_structural_similarity_index_measure(
        x_hat.float(), x.float(), data_range=MS_SSIM_RANGE_DB, reduction="none", normalize="simple")
    return similarity
