"""Trying again what fails for a moment: busy servers, broken connections, silence."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from ..errors import SarzIOError

ATTEMPTS = 4
"""Tries of one request."""

FIRST_WAIT_SECONDS = 0.5
"""After the first failure; doubled after each further one, and varied by a quarter so that clients part."""

LONGEST_WAIT_SECONDS = 10.0
"""The most that a server's Retry-After is obeyed for."""

T = TypeVar("T")


class TransientError(Exception):
    """A request failed in a way that may pass; the text says how, `wait` how many seconds the server asks for."""

    def __init__(self, text: str, wait: float = 0.0) -> None:
        super().__init__(text)
        self.wait = wait


async def with_retries(name: str, attempt: Callable[[], Awaitable[T]]) -> T:
    """What `attempt` returns, made again up to ATTEMPTS times while it raises TransientError.

    Raises
    ------
    SarzIOError
        If the last one does too; names the file.
    """
    for number in range(ATTEMPTS):
        try:
            return await attempt()
        except TransientError as exc:
            failure = exc
        if number + 1 < ATTEMPTS:
            wait = FIRST_WAIT_SECONDS * 2**number * random.uniform(0.75, 1.25)
            await asyncio.sleep(max(wait, min(failure.wait, LONGEST_WAIT_SECONDS)))
    raise SarzIOError(
        f"{name}: reading failed {ATTEMPTS} times, at last because {failure}; check the connection, or try again later"
    ) from None
