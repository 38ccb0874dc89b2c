"""The bound on GDAL's block cache, which all calls of a process share."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import rasterio
from made_model import made_models  # noqa: F401 (a fixture)
from rasterio._env import get_gdal_config, set_gdal_config

import sarz_format as sarz
from sarz_format.gdal_cache import CACHE_BYTES, bounded_gdal_cache


@pytest.fixture(params=[CACHE_BYTES * 3, CACHE_BYTES // 4])
def before(request: pytest.FixtureRequest):
    """A cache of that many bytes."""
    with rasterio.Env():
        usual = get_gdal_config("GDAL_CACHEMAX")
        set_gdal_config("GDAL_CACHEMAX", request.param)
        yield request.param
        set_gdal_config("GDAL_CACHEMAX", usual)


def test_the_cache_is_bounded_and_set_back(before: int) -> None:
    with bounded_gdal_cache():
        assert get_gdal_config("GDAL_CACHEMAX") == min(before, CACHE_BYTES)
        with pytest.raises(KeyError), bounded_gdal_cache():
            raise KeyError
        assert get_gdal_config("GDAL_CACHEMAX") == min(before, CACHE_BYTES)
    assert get_gdal_config("GDAL_CACHEMAX") == before


def test_overlapping_calls_leave_it_as_it_was(before: int) -> None:
    """The first call ends while the second goes on: what the second found must not be what is left."""
    entered, ended = threading.Event(), threading.Event()

    def second() -> int:
        with bounded_gdal_cache():
            entered.set()
            ended.wait(10)
            return get_gdal_config("GDAL_CACHEMAX")

    with ThreadPoolExecutor(1) as pool:
        with bounded_gdal_cache():
            running = pool.submit(second)
            assert entered.wait(10)
        ended.set()
        assert running.result() == min(before, CACHE_BYTES)
    assert get_gdal_config("GDAL_CACHEMAX") == before


@pytest.mark.usefixtures("made_models")
def test_compressing_in_threads_leaves_it_as_it_was(before: int, spatialist_db: Path, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        reports = list(pool.map(lambda i: sarz.compress(spatialist_db, tmp_path / f"{i}.sarz", tile_size=64), range(8)))
    assert len({(tmp_path / f"{i}.sarz").read_bytes() for i in range(8)}) == 1 and len(reports) == 8
    assert get_gdal_config("GDAL_CACHEMAX") == before
