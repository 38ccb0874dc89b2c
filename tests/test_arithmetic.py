"""Layers in 8-bit and in float32 arithmetic against integers, and what happens where a machine gets them wrong."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import plain_network
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from made_model import CPU, EXACT_PATHS, PATHS, arithmetic_of, made_arrays
from torch import Tensor

from sarz_format.codec import conformance as module
from sarz_format.codec.arithmetic import Arithmetic, Float32Arithmetic
from sarz_format.codec.conformance import choose_arithmetic, conforms
from sarz_format.codec.direct import DirectArithmetic
from sarz_format.codec.model import ACTIVATION_LIMIT, FLOAT32_EXACT, Layer, build_model
from sarz_format.errors import SarzFormatError

@pytest.fixture(params=PATHS)
def arithmetic(request: pytest.FixtureRequest) -> Arithmetic:
    return arithmetic_of(request.param)


@st.composite
def layers(draw: st.DrawFn) -> Layer:
    """Random layers, many with accumulators just under the limit of 2^24."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    outputs, inputs = draw(st.sampled_from([1, 8, 24, 32, 64])), draw(st.sampled_from([4, 16, 32, 64]))
    size, limit = draw(st.sampled_from([1, 3])), draw(st.sampled_from([3, 60, 127]))
    weight = rng.integers(-limit, limit + 1, (outputs, inputs, size, size))
    if draw(st.booleans()):
        weight = np.abs(weight)
    shift = rng.integers(0, 16, outputs)
    peak = np.abs(weight).sum((1, 2, 3)) * ACTIVATION_LIMIT + (ACTIVATION_LIMIT << shift)
    weight[peak >= FLOAT32_EXACT] = 1
    room = np.maximum(FLOAT32_EXACT - 1 - peak, 0)
    bias = rng.uniform(-1, 1, outputs) * room * draw(st.sampled_from([0.0, 0.1, 1.0]))
    return Layer(weight.astype(np.int8), bias.astype(np.int32), shift.astype(np.int8))


def activations(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """Bytes with many at the ends of their range."""
    rng = np.random.default_rng(seed)
    return np.clip(rng.integers(-200, 456, shape), 0, 255).astype(np.uint8)


def to_torch(a: np.ndarray) -> Tensor:
    return torch.from_numpy(a).permute(0, 3, 1, 2)


def to_numpy(h: Tensor) -> np.ndarray:
    return h.permute(0, 2, 3, 1).numpy()


@settings(deadline=None, max_examples=60)
@given(layers(), st.integers(0, 999), st.integers(1, 3), st.integers(3, 12), st.integers(3, 12), st.integers(1, 2))
def test_layers_equal_integers(layer: Layer, seed: int, batch: int, height: int, width: int, stride: int) -> None:
    layer.check("made", layer.weight.shape, ACTIVATION_LIMIT, True)
    a = activations(seed, (batch, height, width, layer.weight.shape[1]))
    sums = np.stack([plain_network.sums(one, layer, stride) for one in a])
    plain = np.stack([plain_network.hidden(one, layer, stride=stride) for one in a])
    trunk = activations(seed + 1, plain.shape)
    added = np.stack([plain_network.hidden(one, layer, t, stride) for one, t in zip(a, trunk)])
    larger = np.pad(trunk, ((0, 0), (1, 1), (2, 2), (0, 0)), constant_values=9)
    for arithmetic in map(arithmetic_of, EXACT_PATHS):
        with torch.inference_mode():
            raw = arithmetic.raw(to_torch(a), layer, stride)
            hidden = arithmetic.hidden(to_torch(a), layer, stride=stride)
            summed = arithmetic.hidden(to_torch(a), layer, to_torch(trunk), stride)
            middle = arithmetic.hidden(to_torch(a), layer, to_torch(larger), stride)
        assert raw.dtype == torch.float32
        assert hidden.dtype == summed.dtype == arithmetic.activation
        assert np.array_equal(to_numpy(raw), sums), arithmetic.name
        assert np.array_equal(to_numpy(hidden), plain), arithmetic.name
        assert np.array_equal(to_numpy(summed), added), arithmetic.name
        assert np.array_equal(to_numpy(middle), added), arithmetic.name


def test_inputs_are_not_changed(arithmetic: Arithmetic) -> None:
    rng = np.random.default_rng(0)
    layer = Layer(rng.integers(-9, 9, (16, 16, 1, 1)).astype(np.int8), np.zeros(16, np.int32), np.full(16, 3, np.int8))
    a, trunk = activations(1, (1, 5, 6, 16)), activations(2, (1, 5, 6, 16))
    copies = a.copy(), trunk.copy()
    with torch.inference_mode():
        first = arithmetic.hidden(to_torch(a), layer, to_torch(trunk))
        second = arithmetic.hidden(to_torch(a), layer, to_torch(trunk))
    assert torch.equal(first, second)
    assert np.array_equal(a, copies[0])
    assert np.array_equal(trunk, copies[1])


def test_threads_and_memory_layout_do_not_matter(arithmetic: Arithmetic) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-127, 128, (64, 32, 3, 3)).astype(np.int8)
    layer = Layer(weight, np.zeros(64, np.int32), np.full(64, 9, np.int8))
    a, trunk = activations(1, (1, 20, 21, 32)), activations(2, (1, 18, 19, 64))
    results = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            for change in (lambda h: h, lambda h: h.contiguous()):
                with torch.inference_mode():
                    results.append(arithmetic.hidden(change(to_torch(a)), layer, change(to_torch(trunk))))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(result, results[0]) for result in results)


def test_this_machine_conforms(arithmetic: Arithmetic) -> None:
    assert conforms(arithmetic, CPU)


class Saturating(Float32Arithmetic):
    """Adds pairs of products in 16 bits, as 8-bit kernels do without VNNI."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        pairs = [Layer(np.where(np.arange(layer.weight.shape[1])[:, None, None] // 2 == i, layer.weight, 0),
                       layer.bias * 0, layer.shift) for i in range(layer.weight.shape[1] // 2)]
        total = sum(super(Saturating, self).raw(h, pair, stride).clamp(-32768, 32767) for pair in pairs)
        return total + torch.from_numpy(layer.bias)[:, None, None]


class HalfUp(Float32Arithmetic):
    """Rounds ties up."""

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        scale = torch.from_numpy(np.ldexp(1.0, -layer.shift.astype(int)))[:, None, None]
        value = self.raw(h, layer, stride) * scale + (0 if trunk is None else trunk.double())
        return torch.floor(value + 0.5).clamp(0, 255).to(torch.uint8)


class Tf32(Float32Arithmetic):
    """Keeps eleven bits of sums, as reduced-precision accumulators do."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        mantissa, exponent = torch.frexp(super().raw(h, layer, stride))
        return torch.ldexp(torch.round(mantissa * 2048) / 2048, exponent)


class RoundsTwice(Float32Arithmetic):
    """Rounds before the trunk is added."""

    def hidden(self, h: Tensor, layer: Layer, trunk: Tensor | None = None, stride: int = 1) -> Tensor:
        inner = super().hidden(h, layer, None, stride).to(torch.int32)
        return (inner + (0 if trunk is None else trunk.to(torch.int32))).clamp(0, 255).to(torch.uint8)


class Broken(Float32Arithmetic):
    """Has no kernel."""

    def raw(self, h: Tensor, layer: Layer, stride: int = 1) -> Tensor:
        raise NotImplementedError("onednn::qconv2d_pointwise is not available")


class Unavailable(Broken):
    """In place of the 8-bit convolutions."""

    name = "int8"

    def __init__(self) -> None:
        super().__init__(CPU)


class Transformed(DirectArithmetic):
    """Convolves 3 x 3 by Winograd's transforms, two by two results at once, all of it in float32."""

    INPUT = torch.tensor([[1.0, 0, -1, 0], [0, 1, 1, 0], [0, -1, 1, 0], [0, 1, 0, -1]])
    WEIGHT = torch.tensor([[1.0, 0, 0], [0.5, 0.5, 0.5], [0.5, -0.5, 0.5], [0, 0, 1]])
    OUTPUT = torch.tensor([[1.0, 1, 1, 0], [0, 1, -1, -1]])

    def _convolved(self, h: Tensor, layer: Layer, stride: int, scaled: bool) -> Tensor:
        exact = super()._convolved(h, layer, stride, scaled)
        if layer.weight.shape[2] == 1 or stride > 1:
            return exact
        rows, cols = exact.shape[2:]
        p = self._prepare(layer, scaled)
        h = torch.nn.functional.pad(h.to(torch.float32), (0, cols % 2, 0, rows % 2))
        tiles = self.INPUT @ h.unfold(2, 4, 2).unfold(3, 4, 2) @ self.INPUT.T  # (batch, in, rows, cols, 4, 4)
        total = torch.einsum("birckl,oikl->borckl", tiles, self.WEIGHT @ p.weight @ self.WEIGHT.T)
        result = (self.OUTPUT @ total @ self.OUTPUT.T).permute(0, 1, 2, 4, 3, 5).flatten(4, 5).flatten(2, 3)
        return result[:, :, :rows, :cols] + p.bias[:, None, None]


def test_the_transform_is_right_but_for_its_rounding() -> None:
    """Small sums, which leave room for its fractions."""
    weight = np.random.default_rng(0).integers(-3, 4, (4, 8, 3, 3)).astype(np.int8)
    layer = Layer(weight, np.arange(4, dtype=np.int32), np.zeros(4, np.int8))
    a = activations(0, (1, 9, 10, 8))
    assert np.array_equal(to_numpy(Transformed().raw(to_torch(a), layer))[0], plain_network.sums(a[0], layer))
    assert not conforms(Transformed(), CPU)


def test_known_vectors_keep_within_the_bounds_of_models() -> None:
    for vector in module.vectors(True):
        vector.layer.check("known", vector.layer.weight.shape, ACTIVATION_LIMIT, True)


@pytest.mark.parametrize("wrong", [Saturating, HalfUp, Tf32, RoundsTwice, Broken])
def test_wrong_arithmetic_does_not_conform(wrong: type[Float32Arithmetic]) -> None:
    assert not conforms(wrong(CPU), CPU)


@pytest.mark.skipif("int8" not in EXACT_PATHS, reason="no exact 8-bit convolutions here")
def test_the_fastest_is_chosen() -> None:
    assert choose_arithmetic(CPU).arithmetic.name == "int8"


def test_without_the_8_bit_operators_direct_convolutions_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "onednn", SimpleNamespace())
    assert choose_arithmetic(CPU).arithmetic.name == "float32-direct"


def test_without_any_convolutions_products_are_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.ops, "onednn", SimpleNamespace())
    monkeypatch.setattr(torch.ops, "mkldnn", SimpleNamespace())
    assert type(choose_arithmetic(CPU).arithmetic) is Float32Arithmetic


def test_where_8_bits_are_wrong_float32_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Int8Arithmetic", lambda: Saturating(CPU))
    assert choose_arithmetic(CPU).arithmetic.name == "float32-direct"
    monkeypatch.setattr(module, "DirectArithmetic", Transformed)
    assert type(choose_arithmetic(CPU).arithmetic) is Float32Arithmetic


def test_what_was_refused_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Int8Arithmetic", Unavailable)
    monkeypatch.setattr(module, "DirectArithmetic", Transformed)
    assert choose_arithmetic(CPU).refused == (
        "int8: this build of torch has no such convolutions (onednn::qconv2d_pointwise is not available)",
        "float32-direct: its integers are wrong on this machine")


def test_the_first_choice_refuses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Int8Arithmetic", lambda: Float32Arithmetic(CPU))
    assert choose_arithmetic(CPU).refused == ()


def test_where_everything_is_wrong_nothing_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Int8Arithmetic", lambda: Saturating(CPU))
    monkeypatch.setattr(module, "DirectArithmetic", Transformed)
    monkeypatch.setattr(module, "Float32Arithmetic", Tf32)
    with pytest.raises(RuntimeError, match="not exact"):
        choose_arithmetic(CPU)


def test_layers_that_could_overflow_are_refused() -> None:
    arrays = made_arrays(1, 8, 1)
    build_model(arrays)
    arrays["g_s.block0.a.bias"] = np.full(8, FLOAT32_EXACT - 1, np.int32)
    with pytest.raises(SarzFormatError, match=r"g_s\.block0\.a"):
        build_model(arrays)


@pytest.mark.parametrize("shift", [17, 20, 23])
def test_layers_with_a_trunk_keep_their_sum_within_float32(shift: int) -> None:
    """``sum 2^-shift + trunk`` has 8 + shift bits: beyond 24 float32 would round it before it is rounded."""
    arrays = made_arrays(1, 8, 1)
    arrays["g_s.block0.b.shift"] = np.full(8, shift, np.int8)
    with pytest.raises(SarzFormatError, match=r"g_s\.block0\.b"):
        build_model(arrays)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("rows", "cols"), [(34, 3), (34, 4), (3, 34), (4, 34), (3, 3), (12, 5)])
def test_narrow_results_are_exact(arithmetic: Arithmetic, rows: int, cols: int, stride: int) -> None:
    """Tiles cut by the raster's border: with AMX oneDNN is wrong where a strided result has one column."""
    rng = np.random.default_rng(0)
    layer = Layer(rng.integers(-20, 21, (32, 64, 3, 3)).astype(np.int8), np.arange(32, dtype=np.int32),
                  np.full(32, 5, np.int8))
    a = activations(1, (2, rows, cols, 64))
    sums = np.stack([plain_network.sums(one, layer, stride) for one in a])
    trunk = activations(2, sums.shape)
    added = np.stack([plain_network.hidden(one, layer, t, stride) for one, t in zip(a, trunk)])
    with torch.inference_mode():
        assert np.array_equal(to_numpy(arithmetic.raw(to_torch(a), layer, stride)), sums)
        assert np.array_equal(to_numpy(arithmetic.hidden(to_torch(a), layer, to_torch(trunk), stride)), added)
        plain = np.stack([plain_network.hidden(one, layer, stride=stride) for one in a])
        assert np.array_equal(to_numpy(arithmetic.hidden(to_torch(a), layer, stride=stride)), plain)
