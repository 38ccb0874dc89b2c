"""The exponential moving average of a model's weights: what a run keeps."""

from __future__ import annotations

import torch
from torch import nn

DECAY = 0.999


class Average:
    """Follows the weights of `model`; as a context manager it puts the average in their place for a while."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.state = {k: v.detach().clone() for k, v in model.state_dict().items()}

    def update(self, step: int) -> None:
        """Take in the weights after `step` steps; the first ones decay faster, so that the start is forgotten."""
        decay = min(DECAY, step / (step + 20))
        current = self.model.state_dict()
        torch._foreach_lerp_(list(self.state.values()), [current[k] for k in self.state], 1 - decay)

    def __enter__(self) -> None:
        self.backup = {k: v.detach().clone() for k, v in self.model.state_dict().items()}
        self.model.load_state_dict(self.state)

    def __exit__(self, *exc: object) -> None:
        self.model.load_state_dict(self.backup)
