"""The classical image codecs that ours is compared with, each with the qualities to measure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import imagecodecs
import numpy as np
from avif import avif_decode, avif_encode, avif_missing, avif_version
from iso_boxes import media_bytes
from levels import Levels, levels_12_bits, levels_16_bits

Stream = bytes | bytearray


@dataclass(frozen=True, slots=True)
class Peer:
    """A codec of grey integer images."""

    name: str
    settings: tuple[float, ...]
    """Quality numbers to measure; together they bracket 0.35 to 1.6 dB on ordinary scenes."""
    encode: Callable[[np.ndarray, float], Stream]
    decode: Callable[[Stream], np.ndarray]
    levels: Callable[[np.ndarray], Levels] = levels_16_bits
    """The integers that a band of decibels becomes."""
    nbytes: Callable[[Stream], int] = len
    """Bytes of the codestream in what `encode` gives."""
    version: str = f"imagecodecs {imagecodecs.__version__}"
    missing: str = ""
    """Why it cannot be measured here; empty if it can."""


def missing_from_imagecodecs(name: str) -> str:
    """Why a codec of imagecodecs is not there; empty if it is. Old releases do not know all names."""
    available = getattr(getattr(imagecodecs, name, None), "available", False)
    return "" if available else f"imagecodecs {imagecodecs.__version__} has no {name}"


def jpeg_xl(effort: int) -> Peer:
    """JPEG XL (libjxl) at an effort, by Butteraugli distance."""
    return Peer(
        f"JPEG XL e{effort}",
        (*(round(0.25 * 1.13**step, 4) for step in range(38)), 25.0),
        lambda image, distance: imagecodecs.jpegxl_encode(image, distance=distance, effort=effort),
        imagecodecs.jpegxl_decode,
        missing=missing_from_imagecodecs("JPEGXL"),
    )


JPEG_2000 = Peer(
    "JPEG 2000",
    tuple(37 + step / 2 for step in range(35)),
    # The stub wants a whole number; the codec takes fractions.
    lambda image, psnr_db: imagecodecs.jpeg2k_encode(image, level=psnr_db, codecformat="j2k",  # type: ignore[arg-type]
                                                     reversible=False),
    imagecodecs.jpeg2k_decode,
    missing=missing_from_imagecodecs("JPEG2K"),
)

JPEG_XL = jpeg_xl(effort=7)

JPEG_XL_SLOW = jpeg_xl(effort=9)

HTJ2K = Peer(
    "HTJ2K",
    # Steps of quantisation, relative to the range of 16 bits: 0.3 to 12 dB.
    tuple(round(0.0025 * 1.12**step, 5) for step in range(34)),
    lambda image, step: imagecodecs.htj2k_encode(image, level=step, reversible=False),
    imagecodecs.htj2k_decode,
    missing=missing_from_imagecodecs("HTJ2K"),
)

AVIF = Peer("AVIF", tuple(range(4, 61, 3)), avif_encode, avif_decode, levels_12_bits, media_bytes, avif_version(),
            avif_missing())

RIVALS = (JPEG_2000, JPEG_XL, JPEG_XL_SLOW)
"""Those whose best one we are judged by."""

INFORMATIVE = (AVIF, HTJ2K)
"""Those beside them."""


def available(peers: tuple[Peer, ...]) -> tuple[Peer, ...]:
    """The peers that can be measured here."""
    return tuple(peer for peer in peers if not peer.missing)


def left_out_notes(peers: tuple[Peer, ...]) -> list[str]:
    """A sentence for each peer that cannot be measured here."""
    return [f"{peer.name} is left out: {peer.missing}." for peer in peers if peer.missing]
