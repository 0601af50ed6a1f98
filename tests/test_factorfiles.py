"""Factors in files: what comes out is what went in, and a file that is none of ours says so."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import dataclass, replace

import numpy as np
import pytest

from lplr_index import decode_factors
from lplr_index.errors import UnsupportedError, VectorFileError
from lplr_index.factorfiles import FORMAT, write_factors
from lplr_index.factorization import PUBLISHED, factorize
from matrices import arrays_of, decaying, options_of


@pytest.fixture
def factors(tmp_path):
    """Give a file of factors."""
    write_factors(factorize(decaying(60, 20), rank=5), tmp_path / "f.npz")
    return tmp_path / "f.npz"


def about_of(path):
    with np.load(path) as archive:
        return json.loads(archive["about"].tobytes())


@pytest.mark.parametrize("method", PUBLISHED)
@pytest.mark.parametrize("nbits", [1, 3, 8, 16])
@pytest.mark.parametrize("options", [{}, {"scale": "column", "normalize_and_shift": True}])
def test_a_file_decodes_to_the_same_bits(tmp_path, method, nbits, options):
    f = factorize(decaying(60, 20), **options_of(method, 5, nbits=nbits, **options))
    write_factors(f, tmp_path / "f.npz")

    decoded = decode_factors(tmp_path / "f.npz")

    assert decoded.dtype == np.float32
    np.testing.assert_array_equal(decoded, f.reconstruct())


def test_a_file_holds_what_is_counted_and_not_the_encoder(factors):
    f = factorize(decaying(60, 20), rank=5)
    with np.load(factors) as archive:
        arrays = {name: archive[name] for name in archive.files if name != "about"}

    assert sum(each.nbytes for each in arrays.values()) == f.nbytes == sum(each.nbytes for each in arrays_of(f))


def test_a_file_can_be_decoded_by_numpy_alone(tmp_path):
    f = factorize(decaying(60, 20), rank=5, nbits=4, normalize_and_shift=True)
    write_factors(f, tmp_path / "f.npz")
    about = about_of(tmp_path / "f.npz")["content"]["fields"]

    with np.load(tmp_path / "f.npz") as file:
        factors = []
        for name in ("L", "R"):
            quantizer = about[f"quantizer_{name}"]["fields"]
            rank, nbits = about["rank"], quantizer["nbits"]
            bits = np.unpackbits(file[f"codes_{name}"], axis=1, bitorder="little")[:, : rank * nbits]
            codes = bits.reshape(-1, rank, nbits) @ (1 << np.arange(nbits))
            factors.append(codes * file[f"quantizer_{name}.step"] + file[f"quantizer_{name}.vmin"])
    found = about["alpha"] * (factors[0] @ factors[1].T) + about["beta"]

    np.testing.assert_allclose(found, f.reconstruct(), atol=1e-6)


def test_the_same_factors_are_the_same_file(tmp_path):
    for name in ("a.npz", "b.npz"):
        write_factors(factorize(decaying(60, 20), rank=5), tmp_path / name)

    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_every_flipped_byte_is_seen_or_changes_nothing(factors):
    """The zip archive has checksums of what it holds; dates and the like of its own it has not."""
    whole, expected = factors.read_bytes(), decode_factors(factors)
    refused = 0
    for place in range(0, len(whole), 7):
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        factors.write_bytes(damaged)
        try:
            found = decode_factors(factors)
        except VectorFileError:
            refused += 1
        else:
            np.testing.assert_array_equal(found, expected)

    assert refused > 100


def test_other_files_are_refused(tmp_path):
    np.save(tmp_path / "x.npy", np.ones((2, 2)))
    np.savez(tmp_path / "x.npz", x=np.ones((2, 2)))
    (tmp_path / "t.npz").write_text("text", "utf-8")
    for name, words in (
        ("x.npy", "expected the factors of a factorization"),
        ("x.npz", "expected the factors of a factorization"),
        ("t.npz", "cannot read .*t.npz"),
        ("absent.npz", "no such file"),
    ):
        with pytest.raises(VectorFileError, match=words):
            decode_factors(tmp_path / name)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"version": 1', '"version": 2', f"expected {FORMAT} of version 1 in .*, got 2"),
        ("lplr_index.factors:Factorization", "os:system", "expected a class of factorizations of this package"),
        ("lplr_index.factors:Factorization", "lplr_index.errors:InputError", "expected a class of factorizations"),
        ("lplr_index.factors:Factorization", "lplr_index.codecs.base:dataclass", "expected a class|cannot read"),
        ('"rank": 5', '"rank": 500', "expected 500 bytes a row"),
    ],
)
def test_a_file_that_says_something_else_is_refused(factors, old, new, words):
    with zipfile.ZipFile(factors) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    about = json.dumps(about_of(factors))
    assert old in about
    data = io.BytesIO()
    np.save(data, np.frombuffer(about.replace(old, new).encode(), np.uint8))
    members["about.npy"] = data.getvalue()
    with zipfile.ZipFile(factors, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)

    with pytest.raises(VectorFileError, match=words):
        decode_factors(factors)


@dataclass
class Foreign:
    """A dataclass of another package."""

    x: int = 1


@pytest.mark.parametrize("code", [Foreign(), object()])
def test_what_is_not_ours_leaves_no_file(tmp_path, code):
    inner = replace(factorize(decaying(60, 20), rank=5), quantizer_L=code)

    with pytest.raises(UnsupportedError, match=f"dataclasses of this package, got {type(code).__name__}"):
        write_factors(inner, tmp_path / "f.npz")
    assert not list(tmp_path.iterdir())
