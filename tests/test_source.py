"""Sources: the same bytes from a file, memory and a file object, and clear errors."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sarz_format.errors import SarzFileNotFoundError, SarzIOError, TruncatedFileError
from sarz_format.source import BytesSource, FileSource, Source, StreamSource, open_source

DATA = bytes(range(256)) * 40


class Dribble(io.BytesIO):
    """A file object that returns less than it is asked for, as sockets do."""

    def read(self, size: int | None = -1) -> bytes:
        return super().read(min(size or 7, 7))


@pytest.fixture(params=["path", "str", "bytes", "bytearray", "stream", "dribble"])
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    path = tmp_path / "data.sarz"
    path.write_bytes(DATA)
    makers: dict[str, Callable[[], object]] = {
        "path": lambda: path,
        "str": lambda: str(path),
        "bytes": lambda: DATA,
        "bytearray": lambda: bytearray(DATA),
        "stream": lambda: io.BytesIO(DATA),
        "dribble": lambda: Dribble(DATA),
    }
    return open_source(makers[request.param]())  # type: ignore[arg-type]


def test_reads_and_counts(source: Source) -> None:
    with source:
        assert source.size == len(DATA)
        assert source.read(10, 100) == DATA[10:110]
        assert source.read(0, len(DATA)) == DATA
        assert source.read(len(DATA), 0) == b""
        assert (source.requests, source.bytes_read) == (3, 100 + len(DATA))


@pytest.mark.parametrize(("offset", "length"), [(0, 10241), (10240, 1), (-1, 5), (5, -1), (2**70, 1), (0, 2**70)])
def test_outside_is_truncated(source: Source, offset: int, length: int) -> None:
    with source, pytest.raises(TruncatedFileError, match="10240"):
        source.read(offset, length)


def test_threads_do_not_disturb_each_other(source: Source) -> None:
    def check(start: int) -> bool:
        return source.read(start, 500) == DATA[start : start + 500]

    with source, ThreadPoolExecutor(8) as pool:
        assert all(pool.map(check, range(0, 9000, 9)))
    assert source.bytes_read == 500 * 1000


def test_open_source_passes_a_source_through() -> None:
    source = BytesSource(DATA)
    assert open_source(source) is source


def test_files_and_bytes_pickle(tmp_path: Path) -> None:
    path = tmp_path / "data.sarz"
    path.write_bytes(DATA)
    for source in (FileSource(path), BytesSource(DATA)):
        with source, pickle.loads(pickle.dumps(source)) as copy:
            assert copy.read(3, 9) == DATA[3:12]
            assert copy.name == source.name
    with pytest.raises(TypeError, match="by its path"):
        pickle.dumps(StreamSource(io.BytesIO(DATA)))


def test_a_file_object_stays_open() -> None:
    stream = io.BytesIO(DATA)
    with open_source(stream):
        pass
    assert not stream.closed


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SarzFileNotFoundError, match="nothing.sarz does not exist"):
        open_source(tmp_path / "nothing.sarz")


def test_not_a_regular_file(tmp_path: Path) -> None:
    with pytest.raises(SarzIOError, match="is a directory"):
        open_source(tmp_path)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(SarzIOError, match="not a regular file"):
        open_source(tmp_path / "fifo")
    with pytest.raises(SarzIOError, match="cannot be opened"):
        open_source("a\0b")
    (tmp_path / "file").touch()
    with pytest.raises(SarzIOError, match="cannot be opened"):
        open_source(tmp_path / "file" / "below.sarz")


def test_wrong_kind_of_argument() -> None:
    with pytest.raises(TypeError, match="expected a path, a URL, bytes or a binary file object"):
        open_source(3)  # type: ignore[arg-type]


def test_a_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "data.sarz"
    path.write_bytes(DATA)
    with open_source(path) as source:
        os.truncate(path, 100)
        with pytest.raises(TruncatedFileError, match="shrank"):
            source.read(90, 20)


def test_closed_sources_and_pipes(tmp_path: Path) -> None:
    path = tmp_path / "data.sarz"
    path.write_bytes(DATA)
    source = open_source(path)
    source.close()
    source.close()
    with pytest.raises(SarzIOError, match="closed"):
        source.read(0, 1)
    stream = io.BytesIO(DATA)
    source = open_source(stream)
    stream.close()
    with pytest.raises(SarzIOError, match="closed"):
        source.read(0, 1)
    with pytest.raises(SarzIOError, match="cannot seek"):
        open_source(stream)
