"""The contextual coder's decoder in plain Python, written from docs/spec/contextual.md: the oracle of the compiled
one."""

from __future__ import annotations

HALVES = [
    (32626, 27, 4, 4, 4, 4, 4, 4, 24), (29216, 1732, 4, 4, 4, 4, 4, 4, 24), (22892, 4677, 221, 4, 4, 4, 4, 4, 24),
    (16088, 7051, 1073, 167, 17, 4, 4, 4, 24), (11232, 7402, 2427, 658, 197, 50, 10, 4, 24),
    (7670, 6288, 3565, 1558, 640, 284, 127, 52, 54), (5569, 5010, 3678, 2262, 1230, 643, 347, 196, 451),
    (4111, 3880, 3270, 2478, 1713, 1104, 687, 427, 1523),
]
OWN = [(0, -1), (0, -2), (0, -3), (-1, -3), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (-1, 3), (-2, -2), (-2, -1),
       (-2, 0), (-2, 1), (-2, 2), (-3, -1), (-3, 0), (-3, 1)]
OTHER = [(0, 0), (0, -1), (0, 1), (-1, 0), (1, 0), (-1, 1), (-1, -1), (1, -1), (1, 1)]
MEAN = [(0, -1), (0, -1), (0, -2), (0, -2), (-1, -2), (-1, -1), (-1, 0), (-1, 1), (-1, 2), (-2, -1), (-2, 0), (-2, 1)]
OUTER = [(0, -2), (-1, -2), (-1, 2), (-2, -1), (-2, 0), (-2, 1)]
TOP = 32752 << 7


def within(v: int, low: int, high: int) -> int:
    """A number of the tile; what is out of its bounds is malformed, as everything that an assert or an index finds."""
    assert low <= v <= high
    return v


def clamp(v: int, low: int, high: int) -> int:
    """Section "Conventions" of sarz-1."""
    return min(max(v, low), high)


class Plane:
    """Integers (height, width) with what stands outside: section "Outside of a plane"."""

    def __init__(self, height: int, width: int, above: int) -> None:
        self.rows: list[list[int]] = [[] for _ in range(height)]
        self.height, self.width, self.above = height, width, above

    def at(self, y: int, x: int) -> int:
        y = min(y, self.height - 1)
        if y < 0:
            return self.above
        if x < 0:
            return self.at(y - 1, 0)
        return self.rows[y][min(x, self.width - 1)]

    def around(self, y: int, x: int, taps: list[tuple[int, int]]) -> list[int]:
        return [self.at(y + dy, x + dx) for dy, dx in taps]


class Stream:
    """Words and a state: section "Streams"."""

    def __init__(self, state: int, words: list[int]) -> None:
        self.state, self.words = state, list(reversed(words))

    def refill(self) -> None:
        if self.state < 1 << 16:
            self.state = self.state << 16 | self.words.pop()

    def symbol(self, table: list[int]) -> int:
        starts = [(c >> 7) + i for i, c in enumerate(table)] + [1 << 15]
        slot = self.state % (1 << 15)
        s = max(i for i in range(16) if starts[i] <= slot)
        self.state = (starts[s + 1] - starts[s]) * (self.state >> 15) + slot - starts[s]
        self.refill()
        return s

    def bits(self, count: int) -> int:
        value = 0
        while count:
            part = count % 16 or 16
            value = value << part | self.state % (1 << part)
            self.state >>= part
            self.refill()
            count -= part
        return value


class Table:
    """Cumulative counts that adapt."""

    def __init__(self, counts: list[int]) -> None:
        self.cumulative, self.seen = [sum(counts[:i]) << 7 for i in range(16)], 0

    def take(self, stream: Stream) -> int:
        s = stream.symbol(self.cumulative)
        rate = 6 + sum(self.seen >= n for n in (24, 88, 216, 728))
        self.cumulative = [c + (((TOP if i > s else 0) - c) >> rate) for i, c in enumerate(self.cumulative)]
        self.seen += 1
        return s


class Bytes:
    """Numbers of a tile's bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, n: int) -> bytes:
        assert n <= len(self.data)
        part, self.data = self.data[:n], self.data[n:]
        return part

    def u(self) -> int:
        value = shift = 0
        while True:
            byte = self.take(1)[0]
            value |= byte % 128 << shift
            shift += 7
            if byte < 128:
                return value
            assert shift < 63

    def z(self) -> int:
        value = self.u()
        return -(value + 1 >> 1) if value % 2 else value >> 1

    def i16(self, n: int) -> list[int]:
        return [int.from_bytes(self.take(2), "little", signed=True) for _ in range(n)]


def logarithm(number: int) -> int:
    """12 fractional bits of log2, by squaring."""
    n = number.bit_length() - 1
    mantissa = number << (31 - n)
    for _ in range(12):
        mantissa = mantissa * mantissa >> 31
        carry = mantissa >> 32
        mantissa >>= carry
        n = 2 * n + carry
    return n


class Cells:
    """Section "Cells"."""

    def __init__(self, ratio: int, largest: int) -> None:
        self.ratio, self.largest = ratio, largest
        self.logs = [logarithm(max(d, 1)) for d in range(65536)]

    def top(self, d: int) -> int:
        return min(d * self.ratio >> 32, self.largest)

    def bottom(self, d: int) -> int:
        return max(-(-(d << 32) // self.ratio), 1)

    def nearest(self, n: int) -> int:
        d = 1
        while d < 65535 and self.logs[d] + self.logs[d + 1] < 2 * n:
            d += 1
        return min(d, self.largest)

    def move(self, d: int, q: int) -> int:
        for _ in range(abs(q)):
            d = self.top(min(self.top(d) + 1, self.largest)) if q > 0 else self.bottom(max(self.bottom(d) - 1, 1))
        return d


def plain_decode(data: bytes, shape: tuple[int, int, int], valid=None) -> list[list[list[int]]]:
    """Values of every band, row and column."""
    source = Bytes(data)
    step = within(source.u(), 0, 1 << 24)
    cells = None if step else Cells(within(source.u(), (1 << 32) + (1 << 22), 1 << 36), within(source.u(), 1, 65535))
    bands, others = [], None
    for band in range(shape[0]):
        values, others = plain_plane(source, step, cells, shape[1:], others, None if valid is None else valid[band])
        bands.append(values)
    assert not source.data
    return bands


def plain_plane(source: Bytes, step: int, cells: Cells | None, shape: tuple[int, int], others, valid):
    """Values of a plane, and its levels and errors."""
    height, width = shape
    flags, middle = source.take(1)[0], within(source.z(), -(1 << 31), (1 << 32) - 1)
    if flags == 0:
        assert cells is None or 1 <= middle <= cells.largest
        flat = Plane(height, width, 0)
        flat.rows = [[0] * width for _ in range(height)]
        return [[middle] * width for _ in range(height)], (flat, flat)
    assert flags & 1 and (step == 1 or not flags & 2)
    lowest, highest, first_error = (-within(source.u(), 0, 1 << 31), within(source.u(), 0, (1 << 31) - 1),
                                    within(source.u(), 0, (1 << 31) - 1))
    w, b = source.i16(27 if others else 18), within(source.z(), -(1 << 50), 1 << 50)
    a, c = source.i16(7 if others else 5), within(source.z(), -(1 << 56), 1 << 56)
    activity_shift, skew_shift = (within(shift, 0, 60) for shift in source.take(2))
    thresholds = []
    for count in (flags >> 4, flags >> 2 & 3):
        t = 0
        thresholds.append([t := within(t + source.u(), 0, 2047) for _ in range(count)])
    classes = source.take(len(thresholds[0]) + 1)
    skews = len(thresholds[1]) + 1
    tables = [Table([*HALVES[k & 7][:0:-1], *HALVES[k & 7]][1:]) for k in classes for _ in range(skews)]
    repeats = [Table([16376, 16376] + [0] * 14) for _ in range(2)]
    words = within(source.u(), 0, 8 * height * width)
    state = within(int.from_bytes(source.take(4), "little"), 1 << 16, (1 << 32) - 1)
    stream = Stream(state, [int.from_bytes(source.take(2), "little") for _ in range(words)])
    levels, errors = Plane(height, width, 0), Plane(height, width, first_error)
    values = [[0] * width for _ in range(height)]
    for y in range(height):
        for x in range(width):
            near = levels.around(y, x, OWN) + (others[0].around(y, x, OTHER) if others else [])
            p = (sum(map(int.__mul__, w, near)) + b + 512) >> 10
            p = clamp(p, lowest << 4, highest << 4)
            level = (p + 8) >> 4
            if valid is not None and not valid[y][x]:
                values[y][x] = cells.nearest(clamp(level + middle, 0, 65535)) if cells else level + middle
                levels.rows[y].append(level)
                errors.rows[y].append(errors.at(y, x - 1))
                continue
            e = errors
            mean = sum(levels.around(y, x, MEAN))
            features = [e.at(y, x - 1), e.at(y - 1, x), e.at(y - 1, x - 1) + e.at(y - 1, x + 1),
                        sum(e.around(y, x, OUTER)), mean >> 2]
            if others:
                features += [others[1].at(y, x), sum(others[1].around(y, x, OTHER[1:5]))]
            activity = sum(map(int.__mul__, a, features)) + c
            scale = sum(t <= clamp(activity >> activity_shift, 0, 2047) for t in thresholds[0])
            skew = sum(t <= clamp((12 * p - 16 * mean >> skew_shift) + 1024, 0, 2047) for t in thresholds[1])
            west, (nw, n) = levels.at(y, x - 1), levels.around(y, x, [(-1, -1), (-1, 0)])
            repeated = False
            if flags & 2 and n == nw:
                above = levels.around(y, x, [(-2, -1), (-2, 0)])
                repeated = repeats[1 if above[0] == above[1] else 0].take(stream) == 0
            if repeated:
                values[y][x], u = west + middle, west
            else:
                shift = classes[scale] >> 3
                s = tables[scale * skews + skew].take(stream)
                h = s - 7 if s < 15 else escaped(stream, shift)
                q = (h << shift) + stream.bits(shift) - ((1 << shift) >> 1)
                if cells:
                    q = within(q, -4096, 4096)
                    values[y][x] = cells.move(cells.nearest(clamp(level + middle, 0, 65535)), q)
                    u = clamp(cells.logs[values[y][x]] - middle, lowest, highest)
                else:
                    u = clamp(level + q * step, lowest, highest)
                    values[y][x] = u + middle
            levels.rows[y].append(u)
            errors.rows[y].append(min(abs(16 * u - p), 2**31 - 1))
    assert stream.state == 1 << 16 and not stream.words
    return values, (levels, errors)


def escaped(stream: Stream, shift: int) -> int:
    """What an escape stands for."""
    length = stream.bits(5) + 2
    assert length + shift <= 33
    v = stream.bits(length) + (1 << length) - 4
    return -(v >> 1) - 8 if v % 2 else (v >> 1) + 8
