"""``lplr-index build``: the file is the one that the library would write, from any kind of vectors."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from clusters import everything, same
from commands import run, run_apart, without
from lplr_index import IndexLPLR, index_factory, open_vectors, read_index, write_index, write_vectors
from lplr_index.cli import cluster
from lplr_index.cli.lists import read_list, read_numbers
from lplr_index.cli.options import names, numbers
from lplr_index.cluster import machines
from lplr_index.errors import VectorFileError
from lplr_index.vectors import base
from stores import plain_lists


@pytest.fixture
def x(vectors, tmp_path, monkeypatch):
    """Give 1000 rows, which lie in x.npy of the current folder."""
    monkeypatch.chdir(tmp_path)
    write_vectors("x.npy", vectors.xb)
    return vectors.xb


CASES = [
    ([], IndexLPLR(48, 1)),
    (["--bits", "2.5", "--metric", "l2", "--seed", "3"], IndexLPLR(48, 2.5, "l2", seed=3)),
    (["--method", "nq", "--nbits", "3"], IndexLPLR(48, method="nq", nbits=3)),
    (["--method", "lsvd", "--rank", "7", "--metric", "ip"], IndexLPLR(48, metric="ip", method="lsvd", rank=7)),
    (["--factory", "LPLR16x4"], index_factory(48, "LPLR16x4")),
    (["--factory", "LPLR1.5", "--metric", "ip", "--seed", "9"], index_factory(48, "LPLR1.5", "ip", seed=9)),
]


@pytest.mark.parametrize(("options", "index"), CASES, ids=[" ".join(options) for options, _ in CASES])
@pytest.mark.parametrize("chunk", [100, 1000])
def test_the_file_is_byte_for_byte_that_of_the_library(x, capsys, monkeypatch, options, index, chunk):
    index = IndexLPLR.restored(index.settings, None, None)
    index.train(x)
    index.add(x)
    write_index(index, "library.lplr")
    monkeypatch.setattr(base, "CHUNK_BYTES", 4 * 48 * chunk)

    assert run(capsys, "build", "x.npy", "-o", "command.lplr", *options).status == 0

    assert Path("command.lplr").read_bytes() == Path("library.lplr").read_bytes()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_sample_is_that_of_the_file_and_threads_change_nothing(x, capsys, threads):
    index = IndexLPLR(48, 2, seed=4)
    with open_vectors("x.npy") as source:
        index.train(source.sample(300, 4))
    index.add(x)
    write_index(index, "library.lplr")

    options = ["--bits", 2, "--seed", 4, "--train-rows", 300, "--threads", threads]
    assert run(capsys, "build", "x.npy", "-o", "command.lplr", *options).status == 0

    assert Path("command.lplr").read_bytes() == Path("library.lplr").read_bytes()


def test_a_process_of_its_own_writes_the_same_bytes(x, capsys):
    assert run(capsys, "build", "x.npy", "-o", "here.lplr").status == 0
    assert run_apart("build", "x.npy", "-o", "there.lplr").status == 0

    assert Path("here.lplr").read_bytes() == Path("there.lplr").read_bytes()


def test_folders_patterns_and_keys_give_the_index_of_the_matrix(x, capsys):
    Path("parts").mkdir()
    for part in range(3):
        write_vectors(f"parts/part_{part + 9}.npy", x[400 * part : 400 * (part + 1)])
    np.savez("several.npz", vectors=x, others=x[:3])

    for name, *options in (["x.npy"], ["parts"], ["parts/*.npy"], ["several.npz", "--key", "vectors"]):
        assert run(capsys, "build", name, "-o", "o.lplr", *options).status == 0
        built = Path("o.lplr").read_bytes()
        assert run(capsys, "build", "x.npy", "-o", "x.lplr").status == 0
        assert built == Path("x.lplr").read_bytes()


@pytest.mark.parametrize("suffix", ["npy", "txt"])
def test_ids_come_from_a_file(x, capsys, rng, suffix):
    ids = rng.permutation(5000)[:1000]
    np.save("ids.npy", ids)
    Path("ids.txt").write_text("".join(f"{each}\n" for each in ids), "utf-8")

    facts = run(capsys, "build", "x.npy", "-o", "o.lplr", "--ids", f"ids.{suffix}", "--json").document

    np.testing.assert_array_equal(read_index("o.lplr").rows.ids.all(), ids)
    assert facts["id_bytes"] == 8


def test_the_document_is_that_of_info_and_the_time(x, capsys):
    built = run(capsys, "build", "x.npy", "-o", "o.lplr", "--json").document
    info = run(capsys, "info", "o.lplr", "--json").document

    assert built.pop("seconds") > 0
    assert built == info


def test_an_index_that_was_there_is_replaced_only_by_a_whole_one(x, capsys):
    Path("o.lplr").write_bytes(b"old")
    x = np.array(x)
    x[999, 0] = np.nan
    np.save("nan.npy", x)

    assert run(capsys, "build", "nan.npy", "-o", "o.lplr").complaint
    assert Path("o.lplr").read_bytes() == b"old"
    assert run(capsys, "build", "x.npy", "-o", "o.lplr").status == 0
    assert read_index("o.lplr").ntotal == 1000


def test_vectors_of_length_zero_are_named_and_kept(x, capsys, monkeypatch):
    x = np.array(x)
    x[[612, 900]] = 0
    np.save("zeros.npy", x)
    monkeypatch.setattr(base, "CHUNK_BYTES", 4 * 48 * 100)

    done = run(capsys, "build", "zeros.npy", "-o", "o.lplr")

    named = "warning: 2 vectors in zeros.npy have length zero, row 612 first"
    assert done.status == 0
    assert done.err == f"{named}; under cosine they score 0 with everything\n"
    assert run(capsys, "build", "zeros.npy", "-o", "o.lplr", "--metric", "l2").err == ""
    assert read_index("o.lplr").ntotal == 1000


@pytest.mark.parametrize("metric", ["cosine", "ip", "l2"])
@pytest.mark.parametrize("method", ["auto", "nq"])
@pytest.mark.parametrize("n", [1, 2, 5, 33])
@pytest.mark.parametrize("kind", ["different", "equal", "integers"])
def test_a_few_rows_are_an_index_too(x, capsys, n, method, metric, kind):
    rows = {"different": x[:n], "equal": np.repeat(x[:1], n, axis=0), "integers": np.rint(9 * x[:n]).astype("i1")}[kind]
    np.save("few.npy", rows)

    options = ["--bits", 8, "--metric", metric, "--method", method]
    assert run(capsys, "build", "few.npy", "-o", "o.lplr", *options)[::2] == (0, "")
    found = run(capsys, "search", "o.lplr", "few.npy", "-k", 1, "--json").document["I"]

    assert found == [[0 if kind == "equal" else row] for row in range(n)] or metric == "ip"


def test_lists_are_read_from_arrays_and_lines(x):
    np.save("names.npy", np.array(["a", "b"]))
    np.save("mask.npy", np.array([True, False]))
    np.save("halves.npy", np.array([0.5]))
    np.save("objects.npy", np.array([{}]), allow_pickle=True)
    Path("names.txt").write_text("sci.space\nrec.autos\n", "utf-8")
    Path("ids.txt").write_text("3\n-4\n", "utf-8")
    Path("large.txt").write_text(f"{1 << 63}\n", "utf-8")
    Path("latin.txt").write_bytes(b"\xff\n")

    assert read_list("names.npy").tolist() == ["a", "b"]
    assert read_list("names.txt").tolist() == ["sci.space", "rec.autos"]
    assert read_numbers("ids.txt").tolist() == [3, -4]
    assert read_numbers("mask.npy").dtype == bool
    for name in ("large.txt", "names.txt"):
        with pytest.raises(VectorFileError, match=f"cannot read {name}"):
            read_numbers(name)
    with pytest.raises(VectorFileError, match=r"expected latin.txt to be .npy, or text in UTF-8 with one value a line"):
        read_list("latin.txt")
    with pytest.raises(VectorFileError, match=r"expected numbers or strings in objects.npy, got Python objects"):
        read_list("objects.npy")
    with pytest.raises(VectorFileError, match=r"expected integers in halves.npy, got dtype float64"):
        read_numbers("halves.npy")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_from_a_spreadsheet_on_windows_is_the_same(x, end):
    Path("marked.txt").write_bytes(("\ufeff" + end.join(["spam", "ham", ""])).encode("utf-8"))
    Path("numbers.txt").write_bytes(("\ufeff" + end.join(["7", "8", ""])).encode("utf-8"))

    assert read_list("marked.txt").tolist() == ["spam", "ham"]
    assert read_numbers("numbers.txt").tolist() == [7, 8]


def test_a_summary_compares_sizes_with_float32(x, capsys):
    np.save("few.npy", x[:3])
    np.save("many.npy", np.tile(x, (5, 1)))

    assert " times larger than float32" in run(capsys, "build", "few.npy", "-o", "few.lplr").out
    assert " times smaller than float32" in run(capsys, "build", "many.npy", "-o", "many.lplr").out
    index = read_index("few.lplr")
    index.reset()
    write_index(index, "none.lplr")
    assert "float32" not in run(capsys, "info", "none.lplr").out.splitlines()[0]


def test_options_with_commas():
    assert numbers("0.5,1,2") == [0.5, 1, 2]
    assert names("auto, nq") == ["auto", "nq"]


def test_an_index_of_two_stages(x, capsys):
    for name, factory, options in (
        ("residuals", "LPLR1.0,Refine(LPLR2.0)", {}),
        ("originals", "LPLR1.0,RFlat", {"originals": "x.npy"}),
    ):
        index = index_factory(48, factory, "ip", **options)
        index.train(x)
        index.add(x)
        write_index(index, "library.lplr")

        done = run(capsys, "build", "x.npy", "-o", "command.lplr", "--factory", factory, "--metric", "ip")

        assert done.status == 0
        assert f"1,000 rows of 48 in {index.code_size} bytes each" in done.out
        assert Path("command.lplr").read_bytes() == Path("library.lplr").read_bytes()
        assert name in run(capsys, "info", "command.lplr").out
        assert run(capsys, "verify", "command.lplr").status == 0


# On a cluster, of which tests/test_cluster_on_ray.py has a real one


class Here(machines.Here):
    """This process in the place of a Ray cluster."""

    def __init__(self, _address, workers=None):
        super().__init__(workers or 2)

    def map(self, *what):
        sys.stdout.write("what Ray prints is not for stdout\n")
        return super().map(*what)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def test_a_store_has_the_codes_of_the_file_that_one_process_writes(x, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "RayMachines", Here)
    options = ["--bits", 2, "--train-rows", 300]
    assert run(capsys, "build", "x.npy", "-o", "one.lplr", *options).status == 0

    done = run(capsys, "build", "x.npy", "-o", "folder", *options, "--ray", "auto", "--slice-rows", 320, "--json")

    assert done.err == 2 * "what Ray prints is not for stdout\n"
    assert (done.document["rows"], done.document["segments"]) == (1000, 4)
    assert same(everything(Path("folder")), everything(read_index("one.lplr")))
    assert run(capsys, "verify", "folder", "--json").document["rows"] == 1000
    assert "segments      4, of " in run(capsys, "info", "folder").out
    assert run(capsys, "info", "folder", "--json").document["training"] == read_index("one.lplr").model.digest
    words = run(capsys, "build", "x.npy", "-o", "words", "--method", "nq", "--ray", "auto").out
    assert words.startswith(
        "words: 1,000 rows of 48 in 1 segments of 6 bytes a row (1.00 bits a coordinate, cosine, nq); "
    )
    assert run(capsys, "build", "x.npy", "-o", "more", "--method", "nq", "--ray", "auto", "--quiet").err == ""


def test_a_store_with_lists_is_made_and_searched_by_the_options_of_an_index_with_lists(x, capsys, monkeypatch):
    monkeypatch.setattr(cluster, "RayMachines", Here)
    options = ["--factory", "IVF12,LPLR2.0", "--train-rows", 300]
    with plain_lists():
        assert run(capsys, "build", "x.npy", "-o", "one.lplr", *options).status == 0
        built = run(capsys, "build", "x.npy", "-o", "folder", *options, "--ray", "auto", "--slice-rows", 320)
    assert "1,000 rows of 48 in 4 segments and 12 lists of 12 bytes a row" in built.out
    assert same(everything(Path("folder")), everything(read_index("one.lplr")))
    for how in ([], ["--ray", "auto"]):
        found = [
            run(capsys, "search", name, "x.npy", "-k", 3, "--nprobe", 2, "--json", *(how if name == "folder" else []))
            for name in ("one.lplr", "folder")
        ]
        assert found[0].document["I"] == found[1].document["I"]


REFUSED = [
    (["--workers", 2], "expected --workers only with --ray, got it alone"),
    (["--slice-rows", 2], "expected --slice-rows only with --ray, got it alone"),
    (["--ray", "auto", "--threads", 2], "expected --threads or --ray"),
    (["--ray", "auto", "--slice-rows", 0], "expected rows of a slice"),
    (["--ray", "auto", "--factory", "LPLR1.0,RFlat"], "expected an index without a second stage"),
    (["--ray", "auto", "-o", "x.npy"], "expected a name that is free"),
]


@pytest.mark.parametrize(("options", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_a_cluster_cannot_do_is_refused(x, capsys, monkeypatch, options, words):
    monkeypatch.setattr(cluster, "RayMachines", Here)

    assert words in run(capsys, "build", "x.npy", "-o", "folder", *options).complaint
    assert [file.name for file in Path().iterdir()] == ["x.npy"]


def test_without_ray_the_extra_is_named(x, capsys, monkeypatch):
    without(monkeypatch, "ray")

    assert 'pip install "lplr_index[ray]"' in run(capsys, "build", "x.npy", "-o", "folder", "--ray", "auto").complaint
    assert not Path("folder").exists()
