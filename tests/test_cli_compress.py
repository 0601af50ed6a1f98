"""``lplr-index compress``: matrices and pictures, what is said and what is saved."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from commands import files, run, without
from lplr_index import decode_factors, factorize
from lplr_index.cli import compress
from lplr_index.errors import UnsupportedError
from lplr_index.factorization import METHODS
from matrices import decaying
from scenes import colour_scene, scene


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder with a matrix and two pictures."""
    monkeypatch.chdir(tmp_path)
    np.save("x.npy", decaying(200, 60))
    Image.fromarray(scene(96, 128)).save("grey.png")
    Image.fromarray(colour_scene(96, 128)).save("colour.png")
    return tmp_path


def test_every_method_compresses_a_matrix(capsys):
    document = run(capsys, "compress", "x.npy", "--bits", "1,3", "--nbits", 4, "--seed", 5, "--json").document

    assert (document["kind"], document["rows"], document["d"]) == ("matrix", 200, 60)
    found = {(each["method"], each["bits"]): each for each in document["results"]}
    assert list(found) == [(method, bits) for bits in (1, 3) for method in METHODS]
    f = factorize(decaying(200, 60), "lplr", bits=3, nbits=4, seed=5)
    assert found["lplr", 3]["bytes"] == f.nbytes
    assert found["lplr", 3]["error"] == pytest.approx(f.relative_error(decaying(200, 60)))
    assert all(each["reason"] or each["error"] > 0 for each in document["results"])
    assert document["files"] == []


def test_a_size_that_cannot_be_done_is_named(capsys):
    done = run(capsys, "compress", "x.npy", "--bits", "0.5,1", "--methods", "nq,lplr")

    assert done.status == 0
    assert "nq            0.5  left out: expected a budget of at least 1 bit per entry" in done.out
    assert len(done.out.splitlines()) == 7


def test_factors_and_table_of_a_matrix_are_saved(capsys, here):
    done = run(capsys, "compress", "x.npy", "--bits", "0.8,2", "--methods", "lplr,nq", "-o", "out/deep", "--json")

    assert {*files(here / "out/deep")} == {"compression.json", "lplr-0.8.npz", "lplr-2.npz", "nq-2.npz"}
    table = json.loads(Path("out/deep/compression.json").read_text("utf-8"))
    assert done.document == {**table, "files": [str(Path("out/deep", name)) for name in named(done)]}
    expected = factorize(decaying(200, 60), "lplr", bits=2).reconstruct()
    np.testing.assert_array_equal(decode_factors("out/deep/lplr-2.npz"), expected)


def named(done):
    return [Path(each).name for each in done.document["files"]]


@pytest.mark.parametrize(("name", "channels"), [("grey.png", 1), ("colour.png", 3)])
def test_a_picture_is_compared_with_files_of_its_size(capsys, name, channels):
    options = ["--bits-per-pixel", "1,2", "--patch", 8, "-o", "out"]
    done = run(capsys, "compress", name, *options, "--json")

    document = done.document
    assert (document["kind"], document["width"], document["height"]) == ("picture", 128, 96)
    assert (document["channels"], document["patch"]) == (channels, 8)
    assert [each["method"] for each in document["results"]] == 2 * [*METHODS, "JPEG", "WebP"]
    made = {(each["method"], each["bits_per_pixel"]): each for each in document["results"] if not each["reason"]}
    assert ("lplr", 2) in made
    assert ("JPEG", 2) in made
    assert all(each["psnr"] > 10 and 0 < each["ssim"] <= 1 and each["bytes"] > 0 for each in made.values())
    assert made["JPEG", 2]["bytes"] <= max(made[each, 2]["bytes"] for each in METHODS if (each, 2) in made)
    assert named(done)[-2:] == ["contact.png", "compression.json"]
    assert decode_factors("out/lplr-2.npz").shape == ((96, 128) if channels == 1 else (96, 128, 3))
    with Image.open("out/contact.png") as sheet:
        assert sheet.format == "PNG"


def test_the_table_of_a_picture_names_all_and_what_is_counted(capsys):
    lines = run(capsys, "compress", "grey.png", "--bits-per-pixel", "1").out.splitlines()

    assert lines[0] == "grey.png: 128 x 96 pixels, grey, rows are pixel rows"
    assert [line.split()[0] for line in lines[2:-2]] == [*METHODS, "JPEG", "WebP"]
    assert lines[-2] == "Bytes: headers counted for all."


def test_an_exact_picture_is_said_to_be_so(capsys):
    """Eight bits of 256 values lose nothing."""
    Image.fromarray(np.arange(4096, dtype=np.uint8).reshape(64, 64)).save("ramp.png")
    done = run(capsys, "compress", "ramp.png", "--bits-per-pixel", "8", "--methods", "nq", "--json")

    row = done.document["results"][0]
    assert (row["psnr"], row["ssim"], row["exact"]) == (None, 1.0, True)
    assert "exact" in run(capsys, "compress", "ramp.png", "--bits-per-pixel", "8", "--methods", "nq").out


def test_a_grey_picture_in_colours_is_grey(capsys):
    Image.fromarray(np.stack([scene(64, 64)] * 3, axis=2)).save("rgb.png")

    assert run(capsys, "compress", "rgb.png", "--bits-per-pixel", "1", "--json").document["channels"] == 1


def test_what_cannot_be_saved_is_a_warning(capsys, monkeypatch):
    def refuse(*_):
        raise UnsupportedError("expected a factorization, got something else")

    monkeypatch.setattr(compress, "write_factors", refuse)
    done = run(capsys, "compress", "x.npy", "--bits", "1", "--methods", "lplr", "-o", "out")

    assert done.status == 0
    assert done.err == "warning: no file of lplr: expected a factorization, got something else\n"
    assert [*files(Path("out"))] == ["compression.json"]


@pytest.mark.parametrize("package", ["PIL", "skimage"])
def test_a_missing_package_is_one_line(capsys, here, monkeypatch, package):
    without(monkeypatch, package)

    complaint = run(capsys, "compress", "colour.png", "--bits-per-pixel", "1", "-o", "out").complaint

    assert complaint.startswith(f'expected the package {package}, which pip install "lplr_index[compress]" brings')
    assert not (here / "out").exists()


def test_what_is_compressed_is_not_written_over(capsys, here):
    (here / "out").mkdir()
    (here / "grey.png").rename(here / "out/contact.png")
    before = files(here)

    complaint = run(capsys, "compress", "out/contact.png", "--bits-per-pixel", "1", "-o", "out").complaint

    assert complaint.startswith("expected an output other than the input")
    assert files(here) == before


def test_a_picture_too_small_is_refused(capsys):
    Image.fromarray(scene(5, 5)).save("tiny.png")

    assert "at least 7 x 7 pixels" in run(capsys, "compress", "tiny.png", "--bits-per-pixel", "1").complaint
