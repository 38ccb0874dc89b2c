"""Which bands are not backscatter: incidence angles and transparency, which no model codes."""

from __future__ import annotations

import re
from collections.abc import Sequence

ANGLE_WORDS = frozenset({"angle", "angles", "incidence", "inci", "inc", "incangle", "incidenceangle", "lia"})
"""A description with one of these words (lower case) is an angle's ..."""

BACKSCATTER_WORDS = frozenset({"sigma", "gamma", "beta", "backscatter", "intensity", "amplitude"})
"""... unless it has one of these: ``Gamma0_VV_use_local_inci_angle_from_dem`` is backscatter."""

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def is_angle(description: str | None) -> bool:
    """Whether a band's description names an incidence angle (or another one).

    >>> [is_angle(name) for name in ("localIncidenceAngle", "angle", "Sigma0_VV_inci_angle", "VV", None)]
    [True, True, False, False, False]
    """
    words = {word.lower() for word in _WORD.findall(description or "")}
    return bool(words & ANGLE_WORDS) and not words & BACKSCATTER_WORDS


def lossless_bands(descriptions: Sequence[str | None], colorinterp: Sequence[str]) -> dict[int, str]:
    """What each band is that is not backscatter, by band number from 0; all other bands are taken for backscatter.

    An error in decibels means nothing for these, and an error in an alpha band would change the mask.
    """
    found = {band: "an incidence angle" for band, name in enumerate(descriptions) if is_angle(name)}
    return found | {band: "an alpha band" for band, colour in enumerate(colorinterp) if colour == "alpha"}
