"""The package from outside: names, laziness, the import name `sarz`, what ships."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest
import sarz

import rio_sarcodec
import sarz_format

REPOSITORY = Path(__file__).resolve().parent.parent
DATA = REPOSITORY / "tests" / "data"

HEAVY = {"torch", "numba", "llvmlite", "xarray", "dask", "scipy", "matplotlib", "rio_cogeo", "morecantile", "pydantic",
         "safetensors", "fsspec", "aiohttp", "botocore"}


def modules_after(code: str) -> set[str]:
    """Top-level modules loaded in a fresh interpreter that ran `code`."""
    program = f"{code}\nimport json, sys; print(json.dumps(sorted({{name.split('.')[0] for name in sys.modules}})))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_exported_names():
    assert len(set(sarz_format.__all__)) == len(sarz_format.__all__)
    for name in sarz_format.__all__:
        assert getattr(sarz_format, name) is not None
    assert set(sarz_format.__all__) <= set(dir(sarz_format))


def test_every_error_is_exported():
    public = {name for name, value in vars(sarz_format.errors).items() if isinstance(value, type)}
    assert public <= set(sarz_format.__all__)


def test_facade_has_the_same_objects():
    assert sarz.__all__ == sarz_format.__all__
    for name in sarz_format.__all__:
        assert getattr(sarz, name) is getattr(sarz_format, name)
    assert dir(sarz) == dir(sarz_format)


def test_facade_names_itself_when_a_name_is_unknown():
    with pytest.raises(AttributeError, match="'sarz' has no attribute 'nothing'"):
        _ = sarz.nothing
    with pytest.raises(AttributeError, match="'sarz_format' has no attribute 'nothing'"):
        _ = sarz_format.nothing


def test_star_import_gives_all_names():
    names: dict[str, object] = {}
    exec("from sarz import *", names)  # a star import may not stand inside a function
    assert names["open"] is sarz_format.open


def test_versions_agree():
    assert version("rio-sarcodec") == sarz.__version__ == sarz_format.__version__ == rio_sarcodec.__version__


def test_import_is_light():
    loaded = modules_after("import sarz")
    assert "rasterio" in loaded  # to whose GDAL it makes /vsisarz/ known
    assert not loaded & HEAVY


def test_import_loads_nothing_that_reads():
    loaded = "import sarz, sys; print(*[name for name in sys.modules if name.startswith('sarz_format.')])"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {f"sarz_format.{name}" for name in ("reader", "virtual_tiff", "vsi.files")}


def test_library_names_load_nothing_heavy():
    loaded = modules_after("from sarz import *")
    assert "rasterio" in loaded
    assert not loaded & HEAVY


def test_plugin_is_light():
    (plugin,) = [entry for entry in entry_points(group="rasterio.rio_plugins") if entry.name == "sarcodec"]
    loaded = modules_after(f"import {plugin.module}")
    assert not loaded & HEAVY


@pytest.mark.parametrize("arguments", [
    ["--help"], ["--version"], ["compress", "--help"], ["info", "missing.sarz"], ["verify", "--help"],
    ["verify", "missing.sarz"], ["compare", "--help"], ["compare", *[str(DATA / "harvey_sigma0.tif")] * 2],
])  # fmt: skip
def test_command_without_pixels_is_light(arguments):
    run = f"from rasterio.rio.main import main_group\ntry: main_group(['sarcodec', *{arguments!r}])\nexcept SystemExit:"
    # rio imports every plugin that is installed; rio-cogeo's own brings pydantic and others, which is not ours to mend.
    assert not modules_after(f"{run} pass") & {"torch", "numba", "xarray", "dask"}


@pytest.mark.parametrize("package, forbidden", [("sarz_format", {"click"}), ("rio_sarcodec", {"torch", "numba"})])
def test_sources_never_import(package, forbidden):
    sources = sorted((REPOSITORY / package).rglob("*.py"))
    assert sources
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.partition(".")[0] for name in names} & forbidden, source


def test_every_installed_model_ships():
    build = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    shipped = build["targets"]["wheel"]["force-include"]
    folders = {f"models/{path.parent.name}" for path in (REPOSITORY / "models").glob("*/weights.safetensors")}
    assert folders == {source for source in shipped if source.startswith("models/")}


def test_typed():
    for package in (sarz, sarz_format, rio_sarcodec):
        assert (Path(package.__file__).parent / "py.typed").is_file()
