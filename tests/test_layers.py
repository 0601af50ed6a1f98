"""benchmarks/layers.py and layer_networks.py: what layers look at, what replaces them, which neighbours are kept."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

pytestmark = pytest.mark.usefixtures("scripts")


@pytest.fixture(scope="module")
def layers(scripts):
    pytest.importorskip("rich")
    return importlib.import_module("layers")


@pytest.fixture(scope="module")
def networks(scripts):
    return importlib.import_module("layer_networks")


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture(scope="module")
def minilm(networks):
    return networks.minilm(networks.CACHE)


def test_a_kernel_becomes_a_row_of_all_it_looks_at(networks, rng):
    kernels = rng.standard_normal((8, 3, 5, 5)).astype(np.float32)

    A = networks.as_matrix(kernels)

    assert A.shape == (8, 75)
    np.testing.assert_array_equal(A[2], kernels[2].ravel())
    assert networks.as_matrix(A) is not None
    np.testing.assert_array_equal(networks.as_matrix(A), A)


def test_a_text_is_no_neighbour_of_itself(layers, rng):
    x = rng.standard_normal((30, 4)).astype(np.float32)

    nearest = layers.others(x, x)

    assert all(row not in found and len(set(found)) == layers.K for row, found in enumerate(nearest))
    assert layers.neighbours_kept(x, x, x) == 1.0


def test_lost_neighbours_are_counted(layers, rng):
    exact, other = rng.standard_normal((2, 200, 8)).astype(np.float32)
    noisy = exact + 0.3 * other

    kept = layers.neighbours_kept(exact, noisy, noisy)

    assert 0.2 < kept < 0.9
    assert layers.neighbours_kept(exact, other, other) < 0.15  # chance is a twentieth
    assert layers.neighbours_kept(exact, exact, noisy) > kept  # where rows are exact, only queries err


def test_large_matrices_are_spared_the_slow_ways_by_name(layers, monkeypatch, rng):
    monkeypatch.setattr(layers, "LARGE", 1000)
    matrix = layers.Matrix("words", rng.standard_normal((100, 64)).astype(np.float32))
    ways = layers.ways(3)

    outcomes = {name: layers.outcome(matrix, ways[name], 3) for name in ("CALDERA", "Q alone", "LSVD 4/4")}

    assert outcomes["CALDERA"].reason == "too slow for a matrix of 6,400 entries"
    assert not outcomes["Q alone"].reason
    assert not outcomes["LSVD 4/4"].reason


def test_an_entry_has_a_figure_for_every_matrix_or_a_reason(layers, rng):
    found = [layers.Matrix(name, rng.standard_normal(shape).astype(np.float32)) for name, shape in SHAPES.items()]

    entry = layers.measure("efficientnet", found, ("NQ", layers.ways(1)["NQ"], 1), None)

    assert [each is None for each in entry["bytes"]] == [False, True]
    assert list(entry["reasons"]) == ["depthwise"]
    assert entry["activations"] == [None, None]
    assert "encoder" not in entry


SHAPES = {"layer": (64, 32), "depthwise": (16, 9)}  # a row of 9 bits ends after 16


@pytest.mark.torch
def test_layers_are_what_they_multiply_their_inputs_with(networks, torch):
    """The squares of what comes out sum up to the trace of A X^T X A^T, for a convolution as for a linear layer."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False),
        torch.nn.Conv2d(4, 4, 3, groups=4, bias=False),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 2 * 2, 5, bias=False),
    )
    outputs = {}
    for name, layer in module.named_children():
        layer.register_forward_hook(lambda _layer, _inputs, out, name=name: outputs.setdefault(name, out.detach()))
    with networks.gathering(module) as moments:
        module(torch.randn(6, 3, 8, 8))
    network = networks.Network.of(module, moments, {})

    assert {name: each.shape for name, each in moments.items()} == {"0.weight": (27, 27), "3.weight": (16, 16)}
    assert [each.A.shape for each in network.matrices] == [(4, 27), (4, 9), (5, 16)]
    assert [each.calibration is None for each in network.matrices] == [False, True, False]
    assert network.parameters == 4 * 27 + 4 * 9 + 5 * 16
    for name, each in zip(("0", "3"), (network.matrices[0], network.matrices[2]), strict=True):
        expected = float(outputs[name].double().square().sum())
        assert np.square(each.A @ each.calibration.T).sum() == pytest.approx(expected, rel=1e-3)  # its root is damped


@pytest.mark.torch
def test_padding_of_a_layer_of_its_own_is_seen(networks, torch):
    layer = torch.nn.Conv2d(1, 1, 3, bias=False)
    layer.static_padding = torch.nn.ZeroPad2d(1)

    assert networks.looked_at(layer, torch.ones(1, 1, 5, 5)).shape == (25, 9)


@pytest.mark.torch
def test_every_matrix_of_the_sentence_model_is_there(networks, layers, minilm):
    with networks.gathering(minilm) as moments:
        minilm.encode(["one text"], batch_size=1)
    network = networks.Network.of(minilm, moments, moments)
    encoder = [each for each in network.matrices if layers.in_encoder(each.name)]

    assert (len(network.matrices), len(encoder)) == (40, 36)
    assert all(each.calibration is not None for each in encoder)
    assert sum(each.A.size for each in network.matrices) + 31_104 == network.parameters  # biases and norms


@pytest.mark.torch
def test_sentences_notice_what_their_model_has_lost(networks, layers, minilm):
    from lplr_index.factorization import factorize

    texts = ["a short text", "another, somewhat longer, text about cars", "the third is on space flight"]
    exact = networks.embed(minilm, texts)
    inner = [each for each in networks.Network.of(minilm, {}, {}).matrices if layers.in_encoder(each.name)]

    def cosines(options):
        made = {each.name: factorize(each.A, **options(each.A)).reconstruct() for each in inner}
        with networks.replaced(minilm, made):
            return np.sum(networks.embed(minilm, texts) * exact, axis=1)

    whole = {"method": "lsvd", "sketch": "orthogonal", "nbits": 16, "nbits_R": 16}
    assert cosines(lambda A: {**whole, "rank": min(A.shape)}).min() > 0.9999
    assert cosines(lambda _: {"method": "nq", "bits": 2}).max() < 0.9
    np.testing.assert_array_equal(networks.embed(minilm, texts), exact)  # put back
    assert 0.9 < np.sum(networks.embed(networks.int8_model(minilm), texts) * exact, axis=1).min() < 1
