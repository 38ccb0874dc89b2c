"""The import name of the library: ``import sarz`` gives the objects of :mod:`sarz_format`.

For a type checker this is ``from sarz_format import *``. When it runs, each name is forwarded as it is asked for,
because a star import would load every lazy name at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sarz_format

if TYPE_CHECKING:
    from sarz_format import *
    from sarz_format import __version__ as __version__

__all__ = sarz_format.__all__


if not TYPE_CHECKING:  # a type checker should complain about names that are not there

    def __getattr__(name: str) -> Any:
        try:
            return getattr(sarz_format, name)
        except AttributeError:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}") from None


def __dir__() -> list[str]:
    return dir(sarz_format)
