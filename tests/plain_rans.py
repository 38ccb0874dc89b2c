"""The rANS stream in plain Python, written from its description: the oracle of the compiled coder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def plain_encode(
    symbols: Sequence[int], numbers: Sequence[int], cdf: np.ndarray, reach: np.ndarray, lanes: int
) -> tuple[bytes, bytes]:
    """The stream and the escape bits of symbols whose tables are `numbers`."""
    states, words, bits = [1 << 16] * lanes, [], ""
    for i in reversed(range(len(symbols))):
        k, r, row = int(symbols[i]), int(reach[numbers[i]]), cdf[numbers[i]]
        s = k + r if abs(k) <= r else 2 * r + 1
        start, count = int(row[s]), int(row[s + 1]) - int(row[s])
        if states[i % lanes] >= count << 20:
            words.append(states[i % lanes] % (1 << 16))
            states[i % lanes] >>= 16
        states[i % lanes] = states[i % lanes] // count * 4096 + states[i % lanes] % count + start
    for k, number in zip(map(int, symbols), numbers):
        beyond = abs(k) - int(reach[number]) - 1
        if beyond >= 0:
            value = bin(2 * beyond + (k < 0) + 4)[2:]
            bits += "0" * (len(value) - 3) + value
    bits += "0" * (-len(bits) % 8)
    stream = b"".join([bytes([lanes.bit_length() - 1]), *(x.to_bytes(4, "little") for x in states),
                       *(w.to_bytes(2, "little") for w in reversed(words))])
    return stream, bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))


def plain_decode(
    stream: bytes, escapes: bytes, numbers: Sequence[int], cdf: np.ndarray, reach: np.ndarray
) -> list[int]:
    """Symbols of a stream whose symbol i has table ``numbers[i]``; ValueError unless all of it is used up."""
    lanes, stream = 1 << stream[0], stream[1:]
    words = [int.from_bytes(stream[i : i + 2], "little") for i in range(0, len(stream), 2)]
    states = [words[2 * lane] | words[2 * lane + 1] << 16 for lane in range(lanes)]
    rest = iter(words[2 * lanes :])
    bits = iter("".join(f"{byte:08b}" for byte in escapes))
    symbols = []
    for i, table in enumerate(int(n) for n in numbers):
        row = [int(c) for c in cdf[table]]
        x = states[i % lanes]
        slot = x % 4096
        s = max(k for k in range(257) if row[k] <= slot < row[k + 1])
        x = (row[s + 1] - row[s]) * (x // 4096) + slot - row[s]
        if x < 1 << 16:
            x = x << 16 | next(rest)
        states[i % lanes] = x
        r = int(reach[table])
        symbols.append(s - r if s <= 2 * r else _escaped(r, bits))
    if states != [1 << 16] * lanes or list(rest) or "1" in list(bits):
        raise ValueError("the stream is not used up")
    return symbols


def _escaped(reach: int, bits) -> int:
    """An Exp-Golomb code of order 2: magnitude beyond the reach, the sign in the lowest bit."""
    zeros = 0
    while next(bits) == "0":
        zeros += 1
    value = int("1" + "".join(next(bits) for _ in range(zeros + 2)), 2) - 4
    magnitude = value // 2 + reach + 1
    return -magnitude if value % 2 else magnitude
