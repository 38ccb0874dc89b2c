"""Finding the models that files name: a folder with `weights.safetensors` and `config.json`, identified by hash.

Looked for under ``sarz_format/models`` (where wheels put them), in a checkout's ``models``, and in the folders of the
environment variable SARZ_MODEL_PATH.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ModelNotFoundError, SarzFileNotFoundError, SarzFormatError, SarzIOError, SarzOptionError

if TYPE_CHECKING:
    from .codec.model import IntegerModel

DEFAULT_MODELS = {2: "s1-pair-1", 1: "s1-single-1"}
"""Model of a pair of bands and of a single band."""

MAX_WEIGHT_BYTES = 1 << 28

_REPAIR = "reinstall the model, or take its folder out of the environment variable SARZ_MODEL_PATH"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A model that is at hand: its id, how many bands it codes together, the SHA-256 of its weights, its folder."""

    id: str
    bands: int
    weights_sha256: str
    folder: Path


def model_folders() -> Iterator[Path]:
    """Every folder that may hold models, first the package's own."""
    here = Path(__file__).resolve().parent
    roots = [here / "models", here.parent / "models"]
    roots += [Path(p) for p in os.environ.get("SARZ_MODEL_PATH", "").split(os.pathsep) if p]
    for root in roots:
        for folder in [root, *sorted(root.glob("*"))]:
            if (folder / "weights.safetensors").is_file() and (folder / "config.json").is_file():
                yield folder


def describe_model(folder: Path) -> ModelInfo:
    """Read a model's config; raises SarzFormatError if it is not one, SarzIOError if it cannot be read."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
        return ModelInfo(str(config["id"]), int(config["bands"]), str(config["weights_sha256"]), folder)
    except KeyError as exc:
        raise SarzFormatError(f"{path}: not the config of a model: it lacks {exc}; {_REPAIR}") from exc
    except (ValueError, TypeError, OverflowError, RecursionError) as exc:
        raise SarzFormatError(f"{path}: not the config of a model: {exc}; {_REPAIR}") from exc
    except OSError as exc:
        raise SarzIOError(f"{path}: cannot be read: {exc.strerror or exc}; {_REPAIR}") from exc


def installed_models() -> list[ModelInfo]:
    """All models at hand, each id once."""
    found: dict[str, ModelInfo] = {}
    for folder in model_folders():
        info = describe_model(folder)
        found.setdefault(info.id, info)
    return list(found.values())


def models_for_compression(choice: str) -> dict[int, ModelInfo]:
    """Model by number of bands: the defaults, one of them replaced by `choice` (an id or a folder) unless "auto".

    Raises
    ------
    ModelNotFoundError
        If no model of that id, or no default model, is installed.
    """
    installed = {info.id: info for info in installed_models()}
    chosen = {bands: installed[name] for bands, name in DEFAULT_MODELS.items() if name in installed}
    if choice != "auto":
        info = _named_model(choice, installed)
        chosen[info.bands] = info
    missing = [name for bands, name in DEFAULT_MODELS.items() if bands not in chosen]
    if missing:
        raise ModelNotFoundError(f"model {', '.join(missing)} is not installed; reinstall rio-sarcodec")
    return chosen


def _named_model(choice: str, installed: dict[str, ModelInfo]) -> ModelInfo:
    if choice in installed:
        return installed[choice]
    folder = Path(choice)
    if not (folder / "weights.safetensors").is_file():
        raise ModelNotFoundError(
            f"model {choice!r}: neither an installed model ({', '.join(sorted(installed)) or 'there are none'}) "
            "nor a folder with weights.safetensors and config.json")
    info = describe_model(folder)
    if info.bands not in DEFAULT_MODELS:
        raise SarzOptionError(f"model {choice!r} codes {info.bands} bands together: expected 1 or 2")
    return info


def find_model(model_id: str, weights_sha256: str) -> ModelInfo:
    """The model that a file names; raises ModelNotFoundError if it is not at hand with these very weights."""
    same_id = None
    for folder in model_folders():
        info = describe_model(folder)
        if info.weights_sha256 == weights_sha256:
            return info
        if info.id == model_id:
            same_id = info
    if same_id:
        raise ModelNotFoundError(
            f"model {model_id}: the file needs weights {weights_sha256[:12]}, installed are "
            f"{same_id.weights_sha256[:12]}; install the version of rio-sarcodec that wrote the file")
    raise ModelNotFoundError(
        f"model {model_id} (weights {weights_sha256[:12]}) is not installed; install a rio-sarcodec that has it, "
        "or add its folder to the environment variable SARZ_MODEL_PATH")


@lru_cache(maxsize=8)
def load_model(info: ModelInfo) -> IntegerModel:
    """Read and check a model's weights.

    Raises
    ------
    ModelNotFoundError
        If the weights do not have the hash that the config promises.
    SarzFormatError
        If they are not a model.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    from .codec.model import build_model

    path = info.folder / "weights.safetensors"
    if not path.is_file():
        raise SarzFileNotFoundError(f"{path}: no such file")
    if path.stat().st_size > MAX_WEIGHT_BYTES:
        raise SarzFormatError(f"{path}: larger than {MAX_WEIGHT_BYTES} bytes, not a model")
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    if digest != info.weights_sha256:
        raise ModelNotFoundError(
            f"{path}: SHA-256 {digest[:12]}, expected {info.weights_sha256[:12]}; the file is damaged, reinstall")
    try:
        model = build_model(load(data))
    except SafetensorError as exc:
        raise SarzFormatError(f"{path}: {exc}") from exc
    if model.bands != info.bands:
        raise SarzFormatError(f"{path}: codes {model.bands} bands together, its config says {info.bands}")
    return model
