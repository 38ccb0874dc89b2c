"""Open .sarz files: a Dataset that reads as rasterio's datasets do."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import IO, TYPE_CHECKING, Any, Literal, Self

from rasterio.transform import TransformMethodsMixin
from rasterio.windows import WindowMethodsMixin

from .container import Container, open_container
from .errors import SarzIOError, SarzOptionError
from .overview_view import overview_view
from .read_statistics import ReadStatistics
from .reader_options import DEFAULT_CACHE_BYTES, ReadOptions
from .reader_pixels import PixelsMixin

if TYPE_CHECKING:
    import os

    from .header import Header
    from .source import Source

DecoderFactory = Callable[..., Any]
"""``(container, **options)`` to an object with the ``read`` and ``stats`` of decoder.WindowDecoder."""


def open(
    path: str | os.PathLike[str] | bytes | IO[bytes] | Source,
    mode: Literal["r"] = "r",
    *,
    device: str = "auto",
    batch_size: int | Literal["auto"] = "auto",
    overlap: int | None = None,
    cache_bytes: int = DEFAULT_CACHE_BYTES,
    on_damage: Literal["raise", "mask"] = "raise",
    power_gains: bool = True,
    overviews: bool = True,
    overview_level: int | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Dataset:
    """Open a .sarz file for reading.

    Parameters
    ----------
    path : path, URL, bytes, binary file object or fsspec.OpenFile
        URLs are those that fsspec knows, and GDAL's ``/vsicurl/https://...``, ``/vsis3/...``, ``/vsigs/...``,
        ``/vsiaz/...``.
    mode : "r"
    device : str
        Where tiles are decoded: "auto" takes a GPU if there is one, otherwise "cpu", "cuda", "cuda:1".
    batch_size : int or "auto"
        Tiles decoded at once. Pixels do not depend on it.
    overlap : int, optional
        Pixels by which decoded tiles overlap before they are joined, a multiple of 16; exact by default.
    cache_bytes : int
        The most memory that decoded tiles are kept in; 0 keeps none.
    on_damage : {"raise", "mask"}
        What a damaged tile does: raise DamagedTileError, or become nodata (0 where there is none), masked, with a
        TileDamageWarning.
    power_gains : bool
        Whether decoded blocks of 64 x 64 pixels keep the mean linear power of the original. Without, the mean of the
        decibels is nearer to it and their RMSE a little smaller, and the mean power is too low at coarse qualities.
    overviews : bool
        Whether decimated reads go by overviews, as those of a GeoTIFF that has some do. Without, they decode every tile
        of which they take a pixel.
    overview_level : int, optional
        Open this overview, of those that `Dataset.overviews` lists, as if it were the raster; from 0, as in rasterio.
    storage_options : mapping, optional
        Options of the file system of a URL, as fsspec takes them: credentials, an endpoint, headers.

    Raises
    ------
    SarzFileNotFoundError
        If the path does not exist.
    SarzFormatError
        If this is not a well-formed .sarz file.
    SarzOptionError
        If an option is out of its range.
    SarzIOError
        If reading fails.
    MissingDependencyError
        If a package that a URL needs is not installed.
    """
    if mode != "r":
        raise SarzOptionError(f"mode is {mode!r}, expected 'r'; .sarz files are written by sarz.compress")
    options = ReadOptions(device, batch_size, overlap, cache_bytes, on_damage, power_gains, overviews, overview_level)
    return Dataset(open_container(path, storage_options), options)


class Dataset(PixelsMixin, WindowMethodsMixin, TransformMethodsMixin):
    """An open .sarz file with the reading surface of a rasterio dataset.

    Opening reads the header and the tile index; torch is imported when pixels are first decoded. Reads are safe from
    several threads. A pickled dataset opens its file again. Made by `open`.

    Whole pixels come straight from the decoder. Where rasterio would resample, fill, convert or mask, the pixels that
    count are decoded into a temporary raster, which GDAL then reads: in memory up to 256 MiB, beyond that in the
    temporary directory (TMPDIR). Decimated reads decode pixels of the overview that GDAL would choose.
    """

    def __init__(
        self, container: Container, options: ReadOptions | None = None, *, decoder_factory: DecoderFactory | None = None
    ) -> None:
        self._container: Container | None = container
        self._decoder_factory = decoder_factory
        self._decoder: Any = None
        self._starting = threading.Lock()
        self.options = options or ReadOptions()
        self.header: Header = container.header
        self._factor = 1
        if self.options.overview_level is not None:
            self._factor, self.header = overview_view(container.header, self.options.overview_level)
        self.name: str = container.source.name
        self.files = [self.name]

    @property
    def stats(self) -> ReadStatistics:
        """What reading has cost so far. (rasterio's ``stats()`` computes something else, statistics of bands.)"""
        source = self._opened().source
        decoder = self._decoder
        counts = (decoder.stats.tiles_decoded, decoder.stats.cache_hits) if decoder else (0, 0)
        return ReadStatistics(*counts, source.bytes_read, source.requests)

    @property
    def closed(self) -> bool:
        """Whether the dataset is closed. Its metadata stay readable, its pixels do not."""
        return self._container is None

    def close(self) -> None:
        """Close the file and drop decoded tiles. Reading afterwards is a SarzIOError."""
        container, self._container, self._decoder = self._container, None, None
        if container is not None:
            container.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_container"):
            self.close()

    def __repr__(self) -> str:
        return f"<{'closed' if self.closed else 'open'} Dataset name={self.name!r} mode={self.mode!r}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._opened().source, self.options, self._decoder_factory)

    def _opened(self) -> Container:
        if self._container is None:
            raise SarzIOError(f"{self.name} is closed; open it again to read")
        return self._container

    def _window_decoder(self) -> Any:
        container = self._opened()
        with self._starting:
            if self._decoder is None:
                factory = self._decoder_factory or _torch_decoder
                self._decoder = factory(container, **self.options.for_decoder())
            return self._decoder


def _torch_decoder(container: Container, **options: Any) -> Any:
    from .decoder import WindowDecoder

    return WindowDecoder(container, **options)


def _reopen(source: Source, options: ReadOptions, decoder_factory: DecoderFactory | None) -> Dataset:
    return Dataset(open_container(source), options, decoder_factory=decoder_factory)
