"""Writing a .sarz file: tiles in index order, to a temporary neighbour that gets its name when it is complete."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import zlib
from collections.abc import Sequence
from types import TracebackType
from typing import IO

from .errors import SarzOptionError
from .header import Header, pack_header
from .index import ENTRY_BYTES, KNOWN_FLAGS, TileIndex, checked_tile_count, empty_entries
from .output import TemporaryOutput, io_errors
from .preamble import PREAMBLE_BYTES, Preamble
from .quality import checked_quality
from .statistics import BAND_BYTES, BandStatistics, pack_statistics

_SPOOL_BYTES = 32 * 1024 * 1024
_BUFFER_BYTES = 1024 * 1024
_MAX_PART_BYTES = 2**32 - 1


def front_bytes(header: Header) -> int:
    """Bytes of a file before its tiles: preamble, header, statistics and index."""
    entries = checked_tile_count(header.grid, len(header.groups)) * ENTRY_BYTES
    return PREAMBLE_BYTES + len(pack_header(header)[0]) + header.metadata.count * BAND_BYTES + entries


class ContainerWriter:
    """Writes one file; a context manager that leaves nothing behind unless `finish` was reached.

    Detail parts stream to the temporary file. Coarse parts, which are small, are spooled and follow at the end, and
    the space kept for preamble, statistics and index is filled in last.

    Raises
    ------
    OutputExistsError
        If the output exists and `overwrite` is false.
    SarzFileNotFoundError
        If its directory does not exist.
    SarzIOError
        If it cannot be written, here or later.
    SarzFormatError
        If a reader would refuse the header.
    """

    def __init__(self, path: str | os.PathLike[str], header: Header, *, overwrite: bool = False) -> None:
        self._header = header
        self._packed_header, self._raw_length = pack_header(header)
        self._entries = empty_entries(checked_tile_count(header.grid, len(header.groups)))
        self._written = self._detail_length = self._coarse_length = 0
        self._file: IO[bytes] | None = None
        self._spool: IO[bytes] | None = None
        self._output = TemporaryOutput(path, overwrite)
        try:
            self._start()
        except BaseException:
            self.close()
            raise

    def _start(self) -> None:
        with io_errors(f"cannot write {self._output.path}"):
            self._file = open(self._output.temporary, "wb", buffering=_BUFFER_BYTES)  # noqa: SIM115  # see close
            self._spool = tempfile.SpooledTemporaryFile(_SPOOL_BYTES, dir=str(self._output.path.parent))  # noqa: SIM115
            self._file.seek(self._detail_offset)

    @property
    def _detail_offset(self) -> int:
        statistics_length = self._header.metadata.count * BAND_BYTES
        return PREAMBLE_BYTES + len(self._packed_header) + statistics_length + len(self._entries) * ENTRY_BYTES

    def write_tile(self, coarse: bytes, detail: bytes, *, flags: int = 0, quality: int,
                   overview: Sequence[int] = ()) -> None:
        """Append the next tile: by tile row, tile column and band group, the group fastest.

        Parameters
        ----------
        coarse, detail : bytes
            The two parts, under 4 GiB each.
        flags : int
            Of index.EMPTY, index.FALLBACK and index.BOUNDED.
        quality : int
            0 to 100.
        overview : sequence of int
            The correction of the overview of each band of the group (overview.pack_correction), none unless flags are 0.
        """
        if self._written == len(self._entries):
            raise SarzOptionError(f"all {len(self._entries)} tiles are written already")
        if max(len(coarse), len(detail)) > _MAX_PART_BYTES:
            raise SarzOptionError(f"a tile's part has {max(len(coarse), len(detail))} bytes, expected under 4 GiB")
        if flags & ~KNOWN_FLAGS:
            raise SarzOptionError(f"flags {flags} of a tile: expected a sum of EMPTY, FALLBACK and BOUNDED")
        if len(overview) > 2 or flags and any(overview):
            raise SarzOptionError(f"overview {tuple(overview)} of a tile: expected one a band, and none with flags {flags}")
        entry = self._entries[self._written]
        # Relative to its section: where the coarse section starts is known at the end.
        entry["coarse_offset"], entry["detail_offset"] = self._coarse_length, self._detail_length
        entry["coarse_length"], entry["detail_length"] = len(coarse), len(detail)
        entry["coarse_crc"], entry["detail_crc"] = zlib.crc32(coarse), zlib.crc32(detail)
        entry["flags"], entry["quality"] = flags, checked_quality(quality)
        entry["overview"][: len(overview)] = overview
        spool, file = self._open_files()
        with io_errors(f"cannot write {self._output.path}"):
            spool.write(coarse)
            file.write(detail)
        self._coarse_length += len(coarse)
        self._detail_length += len(detail)
        self._written += 1

    def finish(self, statistics: Sequence[BandStatistics]) -> int:
        """Complete the file, sync it and give it its name; `statistics` is one a band. Returns its size in bytes."""
        if self._written != len(self._entries):
            raise SarzOptionError(f"{self._written} of {len(self._entries)} tiles are written")
        if len(statistics) != self._header.metadata.count:
            raise SarzOptionError(f"{len(statistics)} statistics for {self._header.metadata.count} bands")
        spool, file = self._open_files()
        self._entries["detail_offset"] += self._detail_offset
        self._entries["coarse_offset"] += self._detail_offset + self._detail_length
        preamble, front = self._front(pack_statistics(statistics))
        with io_errors(f"cannot write {self._output.path}"):
            spool.seek(0)
            shutil.copyfileobj(spool, file, _BUFFER_BYTES)
            file.seek(0)
            file.write(front)
            self._close_files()
        self._output.commit()
        return preamble.file_length

    def _front(self, statistics: bytes) -> tuple[Preamble, bytes]:
        """The preamble, and all bytes up to the detail section."""
        index = TileIndex(self._header.grid, len(self._header.groups), self._entries).pack()
        preamble = Preamble(
            header_length=len(self._packed_header),
            header_crc=zlib.crc32(self._packed_header),
            header_raw_length=self._raw_length,
            statistics_length=len(statistics),
            statistics_crc=zlib.crc32(statistics),
            tile_count=len(self._entries),
            index_crc=zlib.crc32(index),
            detail_length=self._detail_length,
            coarse_length=self._coarse_length,
        )
        return preamble, b"".join((preamble.pack(), self._packed_header, statistics, index))

    def close(self) -> None:
        """Close, and remove the temporary file unless `finish` gave it its name."""
        try:
            # What a full disk keeps from being flushed is thrown away anyway.
            with contextlib.suppress(OSError):
                self._close_files()
        finally:
            self._output.discard()

    def __enter__(self) -> ContainerWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _open_files(self) -> tuple[IO[bytes], IO[bytes]]:
        if self._spool is None or self._file is None:
            raise SarzOptionError(f"the writer of {self._output.path} is closed")
        return self._spool, self._file

    def _close_files(self) -> None:
        files, self._spool, self._file = (self._spool, self._file), None, None
        with contextlib.ExitStack() as stack:
            for file in filter(None, files):
                stack.callback(file.close)
