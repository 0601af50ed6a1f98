"""benchmarks/ann_benchmarks: what ann-benchmarks' loader and plots read in config.yml, sets and results is there.

Its package is in no registry, so what it does with these files is written here once more, from its source.
"""

from __future__ import annotations

import importlib
import itertools
import json
import re
import sys
import types
from pathlib import Path

import numpy as np
import pytest

from lplr_index.errors import LPLRError

h5py = pytest.importorskip("h5py")
yaml = pytest.importorskip("yaml")
pytest.importorskip("rich")
FOLDER = Path(__file__).parents[1] / "benchmarks" / "ann_benchmarks"
NAMES = {"cosine": "angular", "l2": "euclidean", "ip": "ip"}
ATTRIBUTES = {  # of a result, that its plots or its tables look at
    *("algo", "batch_mode", "best_search_time", "build_time", "candidates", "count", "dataset", "distance"),
    *("expect_extra", "index_size", "name", "run_count"),
}


@pytest.fixture(scope="module", autouse=True)
def _scripts():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield
    for name in ("module", "run"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def module(_scripts):
    return importlib.import_module("module")


@pytest.fixture(scope="module")
def run(_scripts):
    return importlib.import_module("run")


def expanded(metric):
    """What its ``create_definitions_from_algorithm`` makes of a list of lists, by algorithm."""
    found = []
    for algorithm in yaml.safe_load((FOLDER / "config.yml").read_text("utf-8"))["float"]["any"]:
        for group in algorithm["run_groups"].values():
            asked = [list(each) for each in itertools.product(*group["query_args"])]
            for built in itertools.product(*group["args"]):
                variables = {"@metric": metric, "@count": 10, "@dimension": 48}
                arguments = [variables.get(each, each) for each in [*algorithm["base_args"], *built]]
                found.append((algorithm["name"], algorithm["constructor"], arguments, asked))
    return found


def few(folder):
    """Write a configuration of two small choices of each algorithm."""
    config = yaml.safe_load((FOLDER / "config.yml").read_text("utf-8"))
    for algorithm in config["float"]["any"]:
        for group in algorithm["run_groups"].values():
            group["args"] = [[2]]
            group["query_args"] = [group["query_args"][0][:2]]
    (folder / "few.yml").write_text(yaml.safe_dump(config), "utf-8")
    return folder / "few.yml"


def read(path):
    with h5py.File(path) as file:
        return dict(file.attrs), {name: data[:] for name, data in file.items()}


def exact(train, test, metric):
    """Distances (nq, n) as its ``metrics`` defines them."""
    if metric == "ip":
        return -test @ train.T
    if metric == "cosine":
        train, test = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (train, test))
        return 1 - test @ train.T
    return np.linalg.norm(test[:, None] - train, axis=2)


@pytest.fixture(scope="module", params=list(NAMES))
def measured(request, run, vectors, tmp_path_factory):
    """A folder with the results of both algorithms on vectors of ours."""
    folder = tmp_path_factory.mktemp(request.param)
    np.save(folder / "vectors.npy", vectors.xb)
    np.save(folder / "queries.npy", vectors.xq)
    run.main(
        [
            *(str(folder / "vectors.npy"), "--queries", str(folder / "queries.npy"), "-o", str(folder / "results")),
            *("--metric", request.param, "--config", str(few(folder)), "--runs", "2", "-k", "5"),
        ]
    )
    return request.param, folder


def test_the_configuration_has_what_its_loader_asks_for(module):
    for algorithm in yaml.safe_load((FOLDER / "config.yml").read_text("utf-8"))["float"]["any"]:
        assert {"docker_tag", "module", "constructor", "name", "run_groups"} <= set(algorithm)
        assert algorithm["docker_tag"] == "ann-benchmarks-lplr"  # which its install.py makes of the folder's name
        assert algorithm["module"] == "ann_benchmarks.algorithms.lplr"
        assert hasattr(module, algorithm["constructor"])
        assert hasattr(getattr(module, algorithm["constructor"]), "set_query_arguments")


@pytest.mark.parametrize("metric", ["angular", "euclidean"])
def test_what_is_run_is_what_it_would_run(run, metric):
    ours = [tuple(each) for each in run.definitions(metric)]

    assert ours == expanded(metric)
    assert len(ours) == 8
    assert json.loads(json.dumps(ours)) == [list(each) for each in ours]  # docker is handed them as JSON


def test_the_image_installs_what_the_module_imports():
    image = (FOLDER / "Dockerfile").read_text("utf-8")

    assert image.startswith("FROM ann-benchmarks\n")
    assert re.search(r"^RUN pip install lplr_index$", image, re.MULTILINE)


def test_a_set_is_as_it_reads_one(measured, vectors):
    metric, folder = measured
    attributes, data = read(folder / "data" / f"vectors-48-{NAMES[metric]}.hdf5")

    assert attributes == {"type": "dense", "distance": NAMES[metric], "dimension": 48, "point_type": "float"}
    np.testing.assert_array_equal(data["train"], vectors.xb)
    np.testing.assert_array_equal(data["test"], vectors.xq)
    distances = exact(vectors.xb, vectors.xq, metric)
    assert data["neighbors"].shape == data["distances"].shape == (50, 100)
    np.testing.assert_allclose(data["distances"], np.sort(distances, axis=1)[:, :100], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.take_along_axis(distances, data["neighbors"], axis=1), data["distances"], rtol=1e-4, atol=1e-5
    )


def test_results_are_where_and_what_it_writes(measured, vectors):
    metric, folder = measured
    distance = NAMES[metric]
    paths = {path.relative_to(folder / "results").as_posix() for path in (folder / "results").rglob("*.hdf5")}

    assert paths == {
        f"vectors-48-{distance}/5/{name}/{distance}_2_{asked}.hdf5"
        for name, choices in (("lplr", (0, 2)), ("lplr-refined", (1, 2)))
        for asked in choices
    }
    distances = exact(vectors.xb, vectors.xq, metric)
    for path in paths:
        attributes, data = read(folder / "results" / path)
        assert set(attributes) >= ATTRIBUTES
        assert (attributes["algo"], attributes["dataset"]) == (path.split("/")[2], path.split("/")[0])
        assert (attributes["distance"], attributes["count"], attributes["run_count"]) == (distance, 5, 2)
        assert (bool(attributes["batch_mode"]), attributes["candidates"]) == (False, 5)
        assert attributes["best_search_time"] > 0
        kept = 12 + 4 * 48 * ("refined" in path)
        assert attributes["bytes_per_vector"] == kept
        assert 1024 * attributes["index_size"] > kept * len(vectors.xb)
        assert {name: (each.shape, each.dtype) for name, each in data.items()} == {
            "times": ((50,), np.float32),
            "neighbors": ((50, 5), np.int32),
            "distances": ((50, 5), np.float32),
        }
        assert all(len(set(row)) == 5 for row in data["neighbors"])
        np.testing.assert_allclose(
            data["distances"], np.take_along_axis(distances, data["neighbors"], axis=1), rtol=1e-4, atol=1e-5
        )


def test_more_candidates_find_more(measured, vectors):
    metric, folder = measured
    exact_distances = np.sort(exact(vectors.xb, vectors.xq, metric), axis=1)

    def recall(asked):
        paths = [path for path in (folder / "results").rglob(f"*_2_{asked}.hdf5") if "refined" in str(path)]
        return (read(paths[0])[1]["distances"] <= exact_distances[:, 4:5] + 1e-5).mean()

    assert 0.5 < recall(1) < recall(2)


def test_its_own_sets_are_read_and_batches_have_a_folder_of_their_own(run, measured, tmp_path, capsys):
    metric, folder = measured
    name = f"vectors-48-{NAMES[metric]}"

    run.main(
        [
            *(str(folder / "data" / f"{name}.hdf5"), "-o", str(tmp_path / "out"), "--batch"),
            *("--config", str(few(tmp_path)), "--runs", "1", "-k", "5"),
        ]
    )

    batches = sorted((tmp_path / "out" / name / "5").rglob("*.hdf5"))
    assert [path.parent.name for path in batches] == ["lplr-batch"] * 2 + ["lplr-refined-batch"] * 2
    for path in batches:
        single = folder / "results" / name / "5" / path.parent.name.removesuffix("-batch") / path.name
        attributes, data = read(path)
        assert attributes["batch_mode"]
        np.testing.assert_array_equal(data["neighbors"], read(single)[1]["neighbors"])
    assert "bytes a row  recall" in capsys.readouterr().out


def test_queries_are_held_out_where_none_are_given(run, vectors, tmp_path):
    np.save(tmp_path / "vectors.npy", vectors.xb[:200])

    run.main(
        [str(tmp_path / "vectors.npy"), "-o", str(tmp_path / "out"), "--config", str(few(tmp_path)), "--runs", "1"]
    )

    _, data = read(tmp_path / "data" / "vectors-48-angular.hdf5")
    both = np.concatenate([data["train"], data["test"]])
    assert (len(data["train"]), len(data["test"])) == (180, 20)
    assert sorted(map(tuple, both)) == sorted(map(tuple, vectors.xb[:200]))


def test_fewer_rows_than_wanted_are_marked(run, module):
    algorithm = module.LPLR("euclidean", 8)
    algorithm.fit(np.arange(12, dtype=np.float32).reshape(3, 4))
    algorithm.set_query_arguments(0)

    seconds, found = run.ask(algorithm, np.zeros((2, 4), np.float32), 5, batch=False)

    assert found.tolist() == [[0, 1, 2, -1, -1]] * 2
    assert (seconds > 0).all()
    assert run.as_distances(np.array([[1.0, np.finfo(np.float32).max]]), "l2").tolist() == [[1.0, np.inf]]


def test_sets_of_few_columns_work_at_every_budget(run, module):
    X = np.random.default_rng(0).standard_normal((60, 2)).astype(np.float32)

    for _, constructor, arguments, asked in run.definitions("euclidean"):
        algorithm = getattr(module, constructor)(*arguments)
        algorithm.fit(X)
        algorithm.set_query_arguments(*asked[0])
        assert algorithm.query(X[0], 3)[0] == 0
        assert algorithm.get_memory_usage() > 0
        algorithm.done()
        assert algorithm.get_memory_usage() == 0


def test_the_name_tells_the_arguments(module):
    algorithm = module.LPLR("angular", 0.5)
    algorithm.set_query_arguments(4)
    refined = module.LPLRRefined("angular", 1)
    refined.set_query_arguments(4)

    assert str(algorithm) == "LPLR(bits=0.5, margin=4)"
    assert str(refined) == "LPLRRefined(bits=1, k_factor=4)"
    with pytest.raises(KeyError):
        module.LPLR("hamming", 1)


def test_it_derives_from_its_base_class_where_that_is(monkeypatch):
    base = types.ModuleType("ann_benchmarks.algorithms.base.module")
    base.BaseANN = type("BaseANN", (), {})
    for name in ("ann_benchmarks", "ann_benchmarks.algorithms", "ann_benchmarks.algorithms.base"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, base.__name__, base)
    monkeypatch.delitem(sys.modules, "module", raising=False)

    again = importlib.import_module("module")

    monkeypatch.delitem(sys.modules, "module")
    assert issubclass(again.LPLRRefined, base.BaseANN)


def test_a_file_that_is_none_is_refused_by_name(run, tmp_path):
    (tmp_path / "x.npy").write_bytes(b"no vectors")

    with pytest.raises(LPLRError, match=r"x\.npy"):
        run.main([str(tmp_path / "x.npy"), "-o", str(tmp_path / "out")])
