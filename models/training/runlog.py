"""What a run leaves for people to look at: `log.jsonl`, a line a validation, and TensorBoard's event files."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from torch.utils.tensorboard import SummaryWriter


class RunLog:
    """The logs of a run in folder `out`, from `step` on: what a stopped run wrote after its checkpoint is dropped."""

    def __init__(self, out: Path, step: int) -> None:
        self.path = out / "log.jsonl"
        lines = self.path.read_text("utf-8").splitlines(keepends=True) if self.path.exists() else []
        self.path.write_text("".join(line for line in lines if json.loads(line)["step"] <= step), "utf-8")
        self.writer = SummaryWriter(str(out / "tensorboard"), purge_step=step + 1)

    def terms(self, step: int, scalars: Mapping[str, float], learning_rate: float) -> None:
        """The terms of the training loss at a step, to TensorBoard alone."""
        for name, value in scalars.items():
            self.writer.add_scalar(f"train/{name}", value, step)
        self.writer.add_scalar("train/learning_rate", learning_rate, step)

    def validation(self, entry: dict[str, Any]) -> None:
        """One validation: ``step``, ``seconds``, ``loss``, and a row for each quality in ``val``."""
        with self.path.open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        for row in entry["val"]:
            for name in ("bpp", "rmse_db"):
                self.writer.add_scalar(f"val/{name}/quality_{round(100 * row['quality'])}", row[name], entry["step"])
        self.writer.flush()
        rates = " ".join(f"{row['bpp']:.3f}@{row['rmse_db']:.3f}" for row in entry["val"])
        print(f"{entry['step']} {entry['seconds']:.0f} s loss {entry['loss']:.3f} {rates}", flush=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.writer.close()
