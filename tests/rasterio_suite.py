"""rasterio's own tests, read through /vsisarz/.

    python tests/rasterio_suite.py CHECKOUT [--json OUT.json] [--plain] [PYTEST ARGUMENTS]

CHECKOUT is a checkout of rasterio, of the version that is installed:

    git clone --depth 1 --branch 1.4.4 https://github.com/rasterio/rasterio

In its tests every ``rasterio.open`` for reading is redirected: the raster, be it a fixture or what a test has just
written, is compressed losslessly, and opened as ``/vsisarz/...``. So are rasters that a command of `rio`, a mask, a merge or
a WarpedVRT opens by name. What .sarz files do not take (complex pixels, bands of several dtypes, files in memory, drivers
and options asked for by name) is opened as it is. `--plain` redirects nothing: what fails then, fails for other reasons.

The tests need boto3, shapely and fsspec besides. The exit status is pytest's. Not part of the test suite: its name is not
``test_*``.
"""

from __future__ import annotations

import argparse
import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

MODULES = (
    "test_band", "test_band_masks", "test_blocks", "test_boundless_read", "test_checksum", "test_colorinterp", "test_coords",
    "test_dataset", "test_dataset_mask", "test_descriptions", "test_gcps", "test_indexing", "test_int8", "test_mask",
    "test_mask_creation", "test_merge", "test_meta", "test_no_georef", "test_nodata", "test_overviews", "test_pad", "test_profile",
    "test_read", "test_read_boundless", "test_read_dtype", "test_read_resample", "test_rio_bounds", "test_rio_convert",
    "test_rio_gcp", "test_rio_info", "test_rio_mask", "test_rio_sample", "test_rio_shapes", "test_rio_warp", "test_rpcs",
    "test_sampling", "test_scale_offset", "test_statistics", "test_tag_item", "test_tag_ns", "test_tags",
    "test_thread_pool_executor", "test_threading", "test_transform", "test_units", "test_warp", "test_warpedvrt",
    "test_windows", "test_windows_mixins",
)  # fmt: skip
"""Those that read. Others of rasterio's tests are of writing, environments, drivers and remote files."""

RESULTS, PLAIN = "SARZ_SUITE_RESULTS", "SARZ_SUITE_PLAIN"


def main() -> int:
    """Run the tests in a process of their own, with this file as a plugin of pytest."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--json", type=Path, help="write every outcome here")
    parser.add_argument("--plain", action="store_true", help="redirect nothing")
    args, pytest_arguments = parser.parse_known_args()
    modules = [f"tests/{name}.py" for name in MODULES if (args.checkout / "tests" / f"{name}.py").exists()]
    if not modules:
        parser.error(f"{args.checkout} has none of rasterio's tests; expected a checkout of rasterio")
    with tempfile.TemporaryDirectory(prefix="sarz-suite-") as folder:
        # Tests write next to fixtures, and rasterio's sources beside them would be imported instead of the package.
        shutil.copytree(args.checkout / "tests", Path(folder, "tests"))
        results = Path(folder, "results.json")
        here = str(Path(__file__).resolve().parent)
        environment = os.environ | {RESULTS: str(results), PLAIN: str(int(args.plain))}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-m", "pytest", "-q", "-p", Path(__file__).stem, "-p", "no:cacheprovider",
                   "-m", "not network and not gdalbin and not wheel", "--tb=short", *modules, *pytest_arguments]  # fmt: skip
        status = subprocess.run(command, cwd=folder, env=environment, check=False).returncode
        outcomes = json.loads(results.read_text())
    _show(outcomes)
    if args.json:
        args.json.write_text(json.dumps(outcomes, indent=1) + "\n")
    return status


def _show(outcomes: dict[str, Any]) -> None:
    by_module: dict[str, Counter[str]] = {}
    for name, outcome in outcomes["tests"].items():
        by_module.setdefault(name.split("::")[0], Counter())[outcome] += 1
    for module, counts in sorted(by_module.items()):
        print(f"{module}: {', '.join(f'{count} {outcome}' for outcome, count in sorted(counts.items()))}")
    total = Counter(outcomes["tests"].values())
    print(f"in all: {', '.join(f'{count} {outcome}' for outcome, count in sorted(total.items()))}; "
          f"{outcomes['redirected']} of {outcomes['opened']} opened for reading went through /vsisarz/")


class Redirection:
    """Replaces rasterio.open while the tests run."""

    def __init__(self, folder: Path) -> None:
        import rasterio

        self.folder, self.open = folder, rasterio.open
        self.opened = self.redirected = 0

    def __call__(self, fp: Any, mode: str = "r", *arguments: Any, **options: Any) -> Any:
        """As rasterio.open."""
        if mode != "r":
            return self.open(fp, mode, *arguments, **options)
        self.opened += 1
        plain = not arguments and set(options) <= {"sharing", "thread_safe"}
        name = self._compressed(fp) if plain else None
        if name is None:
            return self.open(fp, mode, *arguments, **options)
        self.redirected += 1
        return self.open(name, **options)

    def _compressed(self, path: Any) -> str | None:
        """A /vsisarz/ name of the raster, or None for what stays as it is."""
        import sarz
        from rasterio.errors import RasterioError

        if not isinstance(path, (str, os.PathLike)) or not os.path.isfile(path):
            return None
        status = os.stat(path)
        key = f"{os.path.abspath(path)} {status.st_mtime_ns} {status.st_size} {_sidecars(path)}"
        # Named as the raster is: some tests look at the end of the name.
        target = self.folder / hashlib.sha256(key.encode()).hexdigest()[:16] / Path(path).name
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            try:
                with self.open(path) as src:
                    if src.subdatasets:
                        return None
                    sarz.compress(src, target, lossless=True)
            except (sarz.SarzError, RasterioError):
                return None
        return f"/vsisarz/{target}"


def _sidecars(path: Any) -> list[int]:
    """When files beside a raster changed, which GDAL reads along."""
    suffixes = (".aux.xml", ".msk", ".ovr")
    return [os.stat(f"{os.fspath(path)}{suffix}").st_mtime_ns for suffix in suffixes if os.path.exists(f"{os.fspath(path)}{suffix}")]


class Outcomes:
    """A plugin that records what became of each test."""

    def __init__(self) -> None:
        self.tests: dict[str, str] = {}

    def pytest_runtest_logreport(self, report: Any) -> None:
        """Failures of setup and teardown count as the test's."""
        if report.when == "call" or report.outcome != "passed":
            outcome = "xfailed" if hasattr(report, "wasxfail") and report.skipped else report.outcome
            self.tests[report.nodeid] = outcome


def pytest_configure(config: Any) -> None:
    """Begin to redirect and to record (a hook of pytest)."""
    import rasterio
    import rasterio.merge
    import sarz  # noqa: F401 (registers /vsisarz/)

    folder = tempfile.TemporaryDirectory(prefix="sarz-suite-files-")
    redirection, outcomes = Redirection(Path(folder.name)), Outcomes()
    if os.environ.get(PLAIN) != "1":
        rasterio.open = functools.wraps(rasterio.open)(redirection)
    config.pluginmanager.register(outcomes)

    def finish() -> None:
        folder.cleanup()
        summary = {"opened": redirection.opened, "redirected": redirection.redirected, "tests": outcomes.tests}
        Path(os.environ[RESULTS]).write_text(json.dumps(summary))

    config.add_cleanup(finish)


if __name__ == "__main__":
    sys.exit(main())
