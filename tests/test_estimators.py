"""estimators.py: scikit-learn's own checks, its tools over ours, and what is ours alone."""

from __future__ import annotations

import pickle
import re
import runpy
import sys
from pathlib import Path

import joblib
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from scipy.sparse import issparse
from sklearn.base import clone
from sklearn.cluster import DBSCAN
from sklearn.exceptions import NotFittedError
from sklearn.manifold import TSNE, Isomap
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from lplr_index import IndexLPLR, estimators, serialize_index
from lplr_index.data import newsgroups
from lplr_index.errors import InputError, LPLRError, MissingDependencyError
from lplr_index.estimators import LPLRClassifier, LPLRTransformer

PAGE = Path(__file__).parents[1] / "docs" / "scikit-learn.md"
BOTH = [LPLRClassifier, LPLRTransformer]


@parametrize_with_checks(
    [
        LPLRClassifier(),
        LPLRClassifier(weights="distance", bits=4.0),
        LPLRTransformer(),
        LPLRTransformer(mode="connectivity", method="nq"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def labelled(vectors):
    """Rows of three labels, which a plane through the rows tells apart, and queries."""
    axis = np.linalg.svd(vectors.xt - vectors.xt.mean(axis=0), full_matrices=False)[2][0]
    edges = np.quantile(vectors.xt @ axis, [0.3, 0.6])
    names = np.array(["high", "low", "middle"])
    return vectors.xb, names[np.digitize(vectors.xb @ axis, edges)], vectors.xq


@pytest.fixture(scope="module")
def fitted(labelled):
    return LPLRClassifier(bits=2.0).fit(*labelled[:2])


# Neighbours


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("method", ["auto", "dsvd"])
def test_neighbours_are_those_of_the_index(labelled, metric, method):
    X, y, xq = labelled
    model = LPLRClassifier(n_neighbors=7, bits=2.0, metric=metric, method=method, random_state=3).fit(X, y)
    index = IndexLPLR(X.shape[1], 2.0, metric, method, seed=3)
    index.train(X)
    index.add(X)

    distances, found = model.kneighbors(xq)

    keys, I = index.search(xq, 7)
    assert serialize_index(model.index_).tobytes() == serialize_index(index).tobytes()
    np.testing.assert_array_equal(found, I)
    expected = np.sqrt(keys) if metric == "l2" else 1 - keys
    np.testing.assert_allclose(distances, expected, rtol=1e-6, atol=1e-6)
    np.testing.assert_array_equal(model.kneighbors(xq, 7, return_distance=False), I)


def test_cosine_distances_are_those_of_the_reconstructions(labelled):
    X, y, xq = labelled
    model = LPLRClassifier(metric="cosine", bits=2.0).fit(X, y)
    unit = xq / np.linalg.norm(xq, axis=1, keepdims=True)
    exact = 1 - unit.astype(np.float64) @ model.index_.reconstruct_n().T

    distances, found = model.kneighbors(xq)

    np.testing.assert_allclose(distances, np.sort(exact, axis=1)[:, :5], atol=1e-5)
    np.testing.assert_allclose(np.take_along_axis(exact, found, axis=1), distances, atol=1e-5)


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_with_bits_to_spare_neighbours_and_distances_are_the_true_ones(labelled, metric):
    X, y, xq = labelled
    ours = LPLRClassifier(bits=8.0, metric=metric).fit(X, y)
    exact = KNeighborsClassifier(metric=metric).fit(X, y)

    distances, found = ours.kneighbors(xq)

    true_distances, true = exact.kneighbors(xq)
    assert np.mean([len(set(few) & set(right)) for few, right in zip(found, true, strict=True)]) > 0.97 * 5
    np.testing.assert_allclose(distances, true_distances, rtol=0.03)


def test_a_row_that_was_fitted_is_no_neighbour_of_itself(fitted, labelled, monkeypatch):
    distances, found = fitted.kneighbors()

    assert not (found == np.arange(len(labelled[0]))[:, None]).any()
    assert (np.diff(distances, axis=1) >= 0).all()
    one_by_one = fitted.kneighbors(fitted.index_.reconstruct_n(), 6, return_distance=False)
    assert all(set(few) <= set(more) for few, more in zip(found, one_by_one, strict=True))
    monkeypatch.setattr(estimators, "_ROWS", 96)
    np.testing.assert_array_equal(fitted.kneighbors(return_distance=False), found)


def test_of_equal_rows_none_is_its_own_neighbour():
    model = LPLRTransformer(n_neighbors=2).fit(np.ones((6, 3)))

    found = model.kneighbors(return_distance=False)

    assert found.tolist() == [[1, 2], [0, 2], [0, 1], [0, 1], [0, 1], [0, 1]]


def test_a_graph_has_the_neighbours_in_order(fitted, labelled):
    xq = labelled[2]
    distances, found = fitted.kneighbors(xq, 4)

    graph = fitted.kneighbors_graph(xq, 4, mode="distance")
    ones = fitted.kneighbors_graph(xq, 4)

    assert graph.shape == ones.shape == (len(xq), 1000)
    np.testing.assert_array_equal(graph.indices.reshape(-1, 4), found)
    np.testing.assert_array_equal(graph.data.reshape(-1, 4), distances)
    np.testing.assert_array_equal(ones.indices, graph.indices)
    assert set(ones.data) == {1.0}


# Votes


def test_labels_are_voted_on(fitted, labelled):
    X, y, xq = labelled
    found = fitted.kneighbors(xq, return_distance=False)

    shares = fitted.predict_proba(xq)

    assert fitted.classes_.tolist() == ["high", "low", "middle"]
    expected = np.stack([(y[found] == label).mean(axis=1) for label in fitted.classes_], axis=1)
    np.testing.assert_allclose(shares, expected)
    assert fitted.predict(xq).tolist() == [max(fitted.classes_, key=row.tolist().count) for row in y[found]]
    assert fitted.score(X, y) > 0.8


def test_near_rows_weigh_more(fitted, labelled):
    _, y, xq = labelled
    distances, found = fitted.kneighbors(xq)
    weights = 1 / distances
    expected = np.stack([(weights * (y[found] == label)).sum(axis=1) for label in fitted.classes_], axis=1)
    expected /= weights.sum(axis=1, keepdims=True)

    weighted = clone(fitted).set_params(weights="distance").fit(*labelled[:2])
    by_function = clone(fitted).set_params(weights=lambda D: 1 / D).fit(*labelled[:2])

    np.testing.assert_allclose(weighted.predict_proba(xq), expected)
    np.testing.assert_allclose(by_function.predict_proba(xq), expected)


def test_rows_at_distance_zero_vote_alone():
    X = np.repeat([[0.0], [0.0], [1.0]], [1, 1, 3], axis=0)
    model = LPLRClassifier(weights="distance").fit(X, [0, 1, 1, 1, 1])

    np.testing.assert_array_equal(model.kneighbors([[0.0]])[0][0, :2], 0)
    np.testing.assert_allclose(model.predict_proba([[0.0]]), [[0.5, 0.5]])


def test_where_nothing_has_weight_every_label_has_its_share():
    model = LPLRClassifier(n_neighbors=2, weights=np.zeros_like).fit([[0.0], [1.0], [2.0]], [5, 6, 7])

    np.testing.assert_allclose(model.predict_proba([[0.0]]), [[1 / 3] * 3])
    assert model.predict([[0.0]]) == [5]


def test_a_row_keeps_its_code_and_the_number_of_its_label(fitted):
    assert fitted.index_.code_size == 12
    assert fitted._labels.dtype == np.uint8
    held = sum(value.nbytes for value in vars(fitted).values() if isinstance(value, np.ndarray))
    assert held < 2 * 1000


def test_it_classifies_newsgroups_as_well_as_the_floats_do():
    posts = newsgroups()
    rows, queries = slice(0, 10_000, 5), slice(0, 2000, 4)
    X, y, xq, yq = posts.train[rows], posts.train_labels[rows], posts.test[queries], posts.test_labels[queries]

    exact = KNeighborsClassifier(metric="cosine").fit(X, y).score(xq, yq)
    ours = LPLRClassifier(metric="cosine").fit(X, y).score(xq, yq)

    assert exact > 0.6
    assert ours > exact - 0.03


# Graphs


@pytest.mark.parametrize("metric", ["l2", "cosine"])
def test_a_row_that_was_fitted_is_its_own_first_neighbour(labelled, metric):
    X, _, xq = labelled
    model = LPLRTransformer(n_neighbors=5, bits=2.0, metric=metric)

    graph = model.fit_transform(X)

    assert graph.shape == (1000, 1000)
    neighbours, distances = graph.indices.reshape(-1, 6), graph.data.reshape(-1, 6)
    np.testing.assert_array_equal(neighbours[:, 0], np.arange(1000))
    np.testing.assert_array_equal(distances[:, 0], 0)
    assert (distances[:, 1:] > 0).all()
    assert (np.diff(distances, axis=1) >= 0).all()
    assert abs(graph - model.transform(X)).max() == 0
    np.testing.assert_array_equal(
        model.transform(xq).indices.reshape(-1, 6), model.kneighbors(xq, 6, return_distance=False)
    )


def test_the_graph_does_not_depend_on_its_pieces(labelled, monkeypatch):
    model = LPLRTransformer().fit(labelled[0])
    whole = model.transform(labelled[0])

    monkeypatch.setattr(estimators, "_ROWS", 96)

    assert abs(whole - model.transform(labelled[0])).max() == 0


def test_connectivity_counts_the_row_itself(labelled):
    graph = LPLRTransformer("connectivity", 5, bits=2.0).fit_transform(labelled[0])

    assert set(graph.data) == {1.0}
    assert (graph.getnnz(axis=1) == 5).all()
    assert (graph.diagonal() == 1).all()


def test_the_graph_is_as_scikit_learn_makes_it(labelled):
    X = labelled[0]
    ours, theirs = (each.fit_transform(X) for each in (LPLRTransformer(bits=8.0), KNeighborsTransformer()))

    assert (type(ours), ours.shape, ours.dtype) == (type(theirs), theirs.shape, np.float64)
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    assert (ours.indices == theirs.indices).mean() > 0.9


@pytest.mark.skipif("sparse_interface" not in sklearn.get_config(), reason="a choice since scikit-learn 1.9")
def test_sparse_arrays_come_where_they_are_asked_for(labelled):
    with sklearn.config_context(sparse_interface="sparray"):
        graph = LPLRTransformer().fit_transform(labelled[0])

    assert type(graph).__name__ == "csr_array"
    assert issparse(graph)


def test_the_graph_and_the_classifier_agree(labelled):
    X, y, xq = labelled
    chain = make_pipeline(LPLRTransformer(n_neighbors=5), KNeighborsClassifier(5, metric="precomputed"))

    np.testing.assert_array_equal(chain.fit(X, y).predict(xq), LPLRClassifier(5).fit(X, y).predict(xq))


def test_what_takes_a_graph_takes_ours(labelled):
    X = labelled[0][:200]
    clusters = make_pipeline(LPLRTransformer(n_neighbors=10, bits=4.0), DBSCAN(eps=1.0, metric="precomputed"))
    flat = make_pipeline(LPLRTransformer(n_neighbors=60), Isomap(n_neighbors=60, metric="precomputed"))
    spread = make_pipeline(
        LPLRTransformer(n_neighbors=91), TSNE(metric="precomputed", init="random", max_iter=250, random_state=0)
    )

    assert clusters.fit_predict(X).shape == (200,)
    assert np.isfinite(flat.fit_transform(X)).all()
    assert spread.fit_transform(X).shape == (200, 2)


def test_columns_of_the_graph_have_names(labelled):
    model = LPLRTransformer().fit(labelled[0][:30])

    assert model.get_feature_names_out().tolist() == [f"lplrtransformer{row}" for row in range(30)]
    with pytest.raises(ValueError, match="sparse"):
        model.set_output(transform="pandas").transform(labelled[0])


# Life among scikit-learn's tools


def test_bits_are_searched_in_a_grid():
    X, y = sklearn.datasets.load_iris(return_X_y=True)
    wide = np.hstack([X, np.random.default_rng(0).standard_normal((len(X), 36))])
    chain = make_pipeline(StandardScaler(), LPLRClassifier())
    grid = {"lplrclassifier__bits": [2.0, 4.0], "lplrclassifier__n_neighbors": [3, 9]}

    search = GridSearchCV(chain, grid, cv=3, error_score="raise").fit(wide, y)

    assert search.best_score_ > 0.6
    best = search.best_estimator_[-1]
    assert best.index_.code_size == 40 * best.bits / 8


@pytest.mark.parametrize("metric", ["l2", "cosine"])
@pytest.mark.parametrize("method", ["auto", "lplr", "nq"])
@pytest.mark.parametrize("columns", [1, 2, 3, 20])
def test_a_row_has_eight_bytes_at_least(rng, columns, method, metric):
    X = rng.standard_normal((40, columns))

    model = LPLRTransformer(bits=0.5, method=method, metric=metric).fit(X)

    index = model.index_
    assert abs(pickle.loads(pickle.dumps(model)).transform(X) - model.transform(X)).max() == 0
    assert index.d == columns
    assert index.code_size == 8 if method == "auto" else index.code_size <= 8


@pytest.mark.parametrize("rows", [1, 2, 5])
def test_few_rows_are_enough(rows):
    X = np.arange(2.0 * rows).reshape(rows, 2)

    model = LPLRClassifier(n_neighbors=1).fit(X, np.arange(rows))

    assert model.predict(X).tolist() == list(range(rows))


@pytest.mark.parametrize("how", [pickle, joblib])
@pytest.mark.parametrize("kind", BOTH)
def test_pickles_hold_the_index_file(labelled, tmp_path, how, kind):
    X, y, xq = labelled
    model = kind(bits=2.0).fit(X, y)
    with (tmp_path / "model").open("wb") as stream:
        how.dump(model, stream)

    with (tmp_path / "model").open("rb") as stream:
        again = how.load(stream)

    for mine, copied in zip(model.kneighbors(xq), again.kneighbors(xq), strict=True):
        np.testing.assert_array_equal(mine, copied)
    assert again.get_params() == model.get_params()
    file = serialize_index(model.index_)
    assert (tmp_path / "model").stat().st_size < len(file) + 3 * len(X)
    assert bytes(file) in (tmp_path / "model").read_bytes()


@pytest.mark.parametrize("kind", BOTH)
def test_an_estimator_that_is_not_fitted_is_copied_and_says_so(kind):
    again = pickle.loads(pickle.dumps(kind(bits=0.5)))

    assert again.bits == 0.5
    assert clone(again).get_params() == again.get_params()
    with pytest.raises(NotFittedError):
        again.kneighbors([[1.0]])


def test_names_of_columns_are_known(labelled):
    frame = pd.DataFrame(labelled[0][:50, :3], columns=["a", "b", "c"])
    model = LPLRClassifier().fit(frame, labelled[1][:50])

    assert model.feature_names_in_.tolist() == ["a", "b", "c"]
    assert model.predict(frame).shape == (50,)
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame[["b", "a", "c"]])


def test_the_seed_is_a_number_or_scikit_learns_state(labelled):
    X = labelled[0][:300]

    def made(random_state):
        return serialize_index(LPLRTransformer(method="lplr", random_state=random_state).fit(X).index_).tobytes()

    assert made(np.random.RandomState(7)) == made(np.random.RandomState(7))
    assert made(7) == made(np.int64(7))
    assert made(7) != made(8)
    assert made(None) != made(None)


def test_threads_change_nothing(labelled):
    X, y, xq = labelled
    one, many = (LPLRClassifier(n_jobs=jobs).fit(X, y) for jobs in (None, -1))

    assert serialize_index(one.index_).tobytes() == serialize_index(many.index_).tobytes()
    np.testing.assert_array_equal(one.predict_proba(xq), many.predict_proba(xq))


@pytest.mark.parametrize(
    ("kind", "asked", "message"),
    [
        (LPLRClassifier, {"metric": "ip"}, "expected metric to be one of l2, cosine, got 'ip'"),
        (LPLRTransformer, {"metric": None}, "expected metric to be one of l2, cosine, got None"),
        (LPLRClassifier, {"weights": "far"}, "expected weights to be one of uniform, distance, got 'far'"),
        (LPLRTransformer, {"mode": "graph"}, "expected mode to be one of distance, connectivity, got 'graph'"),
        (LPLRClassifier, {"n_neighbors": 0}, "expected n_neighbors to be an integer >= 1, got 0"),
        (LPLRTransformer, {"n_neighbors": 2.0}, "expected n_neighbors to be an integer >= 1, got 2.0"),
        (LPLRClassifier, {"bits": 0}, "expected bits to be a number above 0, at most 32, got 0"),
        (LPLRTransformer, {"bits": "1"}, "expected bits to be a number above 0, at most 32, got '1'"),
        (LPLRClassifier, {"method": "pq"}, "expected method to be one of auto, lplr, lsvd, dsvd, nq, got 'pq'"),
        (LPLRClassifier, {"random_state": -1}, "expected random_state to be an integer >= 0, got -1"),
    ],
)
def test_what_makes_no_sense_is_refused(kind, asked, message):
    with pytest.raises(InputError, match=re.escape(message)):
        kind(**asked).fit(np.eye(4)[:, :2], [0, 1, 0, 1])


def test_more_neighbours_than_rows_are_refused():
    X = np.arange(8.0).reshape(4, 2)
    classifier, transformer = LPLRClassifier().fit(X, [0, 1, 0, 1]), LPLRTransformer(n_neighbors=4).fit(X)

    with pytest.raises(InputError, match="expected n_neighbors of at most 4, as 4 rows were fitted, got 5"):
        classifier.predict(X)
    with pytest.raises(InputError, match="expected n_neighbors of at most 3, as 4 rows were fitted, got 4"):
        classifier.kneighbors(n_neighbors=4)
    with pytest.raises(InputError, match="expected n_neighbors of at most 3, as 4 rows were fitted, got 4"):
        transformer.transform(X)
    with pytest.raises(InputError, match="expected mode to be one of"):
        classifier.kneighbors_graph(X, 1, mode="both")


def test_without_scikit_learn_one_sentence_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)

    with pytest.raises(MissingDependencyError, match=r'^expected scikit-learn .* pip install "lplr_index\[sklearn\]"'):
        runpy.run_path(estimators.__file__)
    assert issubclass(MissingDependencyError, LPLRError)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The names that the page's code leaves."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), flags=re.DOTALL)
    names = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("page"))
        for block in blocks:
            exec(compile(block, PAGE.name, "exec"), names)
        names["file"] = Path("posts.lplr").resolve()
    return names


def said(name):
    """What stands between the page's comments of this name."""
    return re.search(rf"<!-- {name} -->(.*?)<!-- /{name} -->", PAGE.read_text("utf-8"), flags=re.DOTALL)[1]


def test_the_page_runs(page):
    assert page["file"].is_file()
    assert page["model"].index_.code_size == 48
    assert page["rows"].shape == (3, 5)


@pytest.mark.parametrize("name", ["ours", "floats"])
def test_the_page_says_what_it_measures(page, name):
    # Another CPU's linear algebra rounds otherwise.
    assert page[name] == pytest.approx(float(said(name)), abs=0.01 if name == "ours" else 0.001)


def test_the_sets_of_the_page_are_measured():
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in said("sets").strip().splitlines()[2:]]
    assert len(rows) == 3
    for name, columns, nbytes, ours, exact in rows:
        X, y = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
        assert X.shape[1] == int(columns)
        assert LPLRClassifier().fit(X, y).index_.code_size == int(nbytes)
        for kind, shown, slack in ((LPLRClassifier, ours, 0.02), (KNeighborsClassifier, exact, 0.001)):
            accuracy = cross_val_score(make_pipeline(StandardScaler(), kind()), X, y).mean()
            assert accuracy == pytest.approx(float(shown), abs=slack)
