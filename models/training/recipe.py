"""The recipe of a model: what a configuration file says, checked once."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

CROP_STEP = 32
"""Hyperlatents have a 32nd of the resolution of the pixels."""

MS_SSIM_CROP = 192
"""Smallest crop with the five scales of MS-SSIM, whose windows have 11 pixels."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """One training run; see configs/ for the recipes of the models that are shipped.

    Raises ValueError for a value that cannot be trained with.
    """

    bands: int
    """Bands coded together: 1 or 2."""
    width: int
    """Channels of the hidden layers."""
    blocks: int
    """Residual blocks of analysis and of synthesis."""
    crop: int
    """Pixels a side of a training sample, a multiple of 32."""
    batch: int
    """Samples a step."""
    steps: int
    """Steps in all. May be changed when a run is resumed."""
    learning_rate: float
    """Adam's, at the start."""
    quantise_from: float
    """Share of the steps after which weights and activations are rounded."""
    log_every: int
    """Steps between validations; the checkpoint is written then. May be changed when a run is resumed."""
    seed: int
    """Of everything random."""
    hyper_warmup: int = 0
    """Steps over which the bits of hyperlatents come to count fully. Where they count from the start a model may learn to
    do without hyperlatents, and never come back to them."""
    exclude: tuple[str, ...] = ()
    """Folders of the training rasters to leave out."""
    ms_ssim_db2: float = 0.0
    """Weight of the MS-SSIM term: the squared error, in dB^2, that 1 - MS-SSIM counts like."""

    def __post_init__(self) -> None:
        if self.bands not in (1, 2):
            raise ValueError(f"bands is {self.bands}: expected 1 or 2")
        if self.crop < CROP_STEP or self.crop % CROP_STEP:
            raise ValueError(f"crop is {self.crop}: expected a positive multiple of {CROP_STEP}")
        for name in ("width", "batch", "steps", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}: expected 1 or more")
        if not 0 <= self.blocks <= 16:
            raise ValueError(f"blocks is {self.blocks}: expected 0 to 16")
        if self.hyper_warmup < 0:
            raise ValueError(f"hyper_warmup is {self.hyper_warmup}: expected 0 or more")
        if not self.learning_rate > 0 or not 0 <= self.quantise_from <= 1 or not self.ms_ssim_db2 >= 0:
            raise ValueError("expected a learning_rate above 0, quantise_from from 0 to 1, ms_ssim_db2 of 0 or more")
        if self.ms_ssim_db2 and self.crop < MS_SSIM_CROP:
            raise ValueError(f"crop is {self.crop}: MS-SSIM needs {MS_SSIM_CROP} or more")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """The recipe of a configuration or a checkpoint; raises ValueError for keys that are missing or unknown."""
        fields = {field.name: field for field in dataclasses.fields(cls)}
        needed = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
        if wrong := (needed - set(values)) | (set(values) - set(fields)):
            raise ValueError(f"configuration keys {', '.join(sorted(wrong))}: missing or unknown")
        return cls(**{**values, "exclude": tuple(values.get("exclude", ()))})

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for checkpoints and a model's config.json."""
        return {**dataclasses.asdict(self), "exclude": list(self.exclude)}


def load_recipe(path: Path) -> Recipe:
    """Read a TOML configuration; raises OSError if it cannot be read, ValueError if it is not a recipe."""
    try:
        return Recipe.from_dict(tomllib.loads(path.read_text("utf-8")))
    except (ValueError, TypeError) as exc:
        raise ValueError(f"{path}: {exc}") from exc


def check_resumable(saved: Recipe, wanted: Recipe) -> None:
    """Raise ValueError unless a run of `saved` can go on as `wanted`: all but steps and log_every must be equal."""
    free = {"steps", "log_every"}
    before, after = saved.to_dict(), wanted.to_dict()
    if changed := [name for name in before if name not in free and before[name] != after[name]]:
        listed = ", ".join(f"{name} {before[name]!r} to {after[name]!r}" for name in changed)
        raise ValueError(f"the checkpoint was trained with another configuration ({listed}): use another --out")
