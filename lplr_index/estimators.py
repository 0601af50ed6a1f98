"""scikit-learn's estimators over an ``IndexLPLR``: rows are kept as packed codes and nothing else.

``LPLRClassifier`` is a KNeighborsClassifier, ``LPLRTransformer`` a KNeighborsTransformer: names, shapes and errors are
scikit-learn's, and so are its validation, tags and clones. This module needs scikit-learn, which nothing else does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from lplr_index.arrays import FloatMatrix, IdArray, as_integer
from lplr_index.errors import InputError, MissingDependencyError
from lplr_index.index import IndexLPLR
from lplr_index.settings import as_bits, small_row_bits
from lplr_index.storage import deserialize_index, serialize_index

try:
    from joblib import effective_n_jobs
    from scipy.sparse import csr_array, csr_matrix
    from sklearn import get_config
    from sklearn.base import BaseEstimator, ClassifierMixin, ClassNamePrefixFeaturesOutMixin, TransformerMixin
    from sklearn.utils import check_random_state
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as err:
    raise MissingDependencyError(
        f'expected scikit-learn 1.6 or newer, which pip install "lplr_index[sklearn]" brings, got {err}'
    ) from err

METRICS = ("l2", "cosine")  # an inner product is no distance
WEIGHTS = ("uniform", "distance")
MODES = ("distance", "connectivity")

_ROWS = 1 << 12  # decoded, or compared by code, at a time

Weights = str | Callable[[Any], Any]


class _Neighbours(BaseEstimator):
    """What both have in common: an index of the rows fitted, and the nearest of them.

    Attributes
    ----------
    n_neighbors, bits, metric, method, random_state, n_jobs
        As given to the estimators.
    index_ : IndexLPLR
        The packed rows.
    n_samples_fit_ : int
        How many.
    """

    n_neighbors: int
    bits: float
    metric: str
    method: str
    random_state: Any
    n_jobs: int | None
    index_: IndexLPLR
    n_samples_fit_: int

    def kneighbors(
        self,
        X: npt.ArrayLike | None = None,
        n_neighbors: int | None = None,
        return_distance: bool = True,  # noqa: FBT001, FBT002 - as scikit-learn has it
    ) -> Any:
        """The nearest rows of each query.

        Parameters
        ----------
        X : array_like of shape (nq, d), optional
            Queries. Where None, the rows that were fitted, as they can be reconstructed: none is its own neighbour.
        n_neighbors : int, optional
            Neighbours wanted; the estimator's own where None.
        return_distance : bool
            Whether distances are returned too.

        Returns
        -------
        distances : ndarray of shape (nq, n_neighbors), float64
            Distances to what is kept of the rows, smallest first: not zero for a row that was fitted.
        indices : ndarray of shape (nq, n_neighbors), int64
            Row numbers.

        Raises
        ------
        InputError
            If there are fewer rows than neighbours wanted.
        """
        check_is_fitted(self)
        k = self.n_neighbors if n_neighbors is None else n_neighbors
        queries = None if X is None else validate_data(self, X, dtype=np.float32, reset=False)
        D, I = self._of_themselves(k) if queries is None else self._nearest(queries, k)
        return (D, I) if return_distance else I

    def kneighbors_graph(
        self, X: npt.ArrayLike | None = None, n_neighbors: int | None = None, mode: str = "connectivity"
    ) -> Any:
        """The nearest rows of each query as a sparse matrix.

        Parameters
        ----------
        X : array_like of shape (nq, d), optional
            Queries, as in ``kneighbors``.
        n_neighbors : int, optional
            Neighbours wanted; the estimator's own where None.
        mode : {"connectivity", "distance"}
            What stands where a row is a neighbour: one, or its distance.

        Returns
        -------
        sparse matrix of shape (nq, n_samples_fit_), CSR
            Neighbours of a query from the nearest on.

        Raises
        ------
        InputError
            If there are fewer rows than neighbours wanted, or mode is neither of the two.
        """
        _one_of("mode", mode, MODES)
        D, I = self.kneighbors(X, n_neighbors)
        return self._graph(D if mode == "distance" else np.ones_like(D), I)

    def __getstate__(self) -> dict[str, Any]:
        """Pickles hold an index as its file does: as small, with its checksums, and readable by later versions."""
        state: dict[str, Any] = super().__getstate__()
        return state | {"index_": serialize_index(state["index_"])} if "index_" in state else state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state | {"index_": deserialize_index(state["index_"])} if "index_" in state else state)

    def _fit_rows(self, rows: FloatMatrix) -> None:
        """Learn from the rows (n, d) and pack them."""
        _one_of("metric", self.metric, METRICS)
        as_integer(self.n_neighbors, "n_neighbors", least=1)
        d = rows.shape[1]
        bits = max(as_bits(self.bits, d), small_row_bits(d))
        index = IndexLPLR(d, bits, self.metric, self.method, seed=self._seed())
        index.train(rows)
        index.add(rows, threads=self._threads())
        self.index_, self.n_samples_fit_ = index, len(rows)

    def _seed(self) -> int:
        if isinstance(self.random_state, (int, np.integer)):
            return as_integer(self.random_state, "random_state")
        return int(check_random_state(self.random_state).randint(2**31))

    def _threads(self) -> int:
        return int(effective_n_jobs(self.n_jobs))

    def _nearest(self, queries: FloatMatrix, k: int, more: int = 0) -> tuple[npt.NDArray[np.float64], IdArray]:
        """Distances and row numbers (nq, k + more) of the rows nearest to queries (nq, d)."""
        k, n = as_integer(k, "n_neighbors", least=1), self.n_samples_fit_
        if k + more > n:
            raise InputError(f"expected n_neighbors of at most {n - more}, as {n} rows were fitted, got {k}")
        keys, I = self.index_.search(queries, k + more, threads=self._threads())
        # What is left of a small distance after rounding may lie below zero.
        D = np.sqrt(np.maximum(keys, 0, dtype=np.float64)) if self.metric == "l2" else np.maximum(1.0 - keys, 0)
        return D, I

    def _of_themselves(self, k: int) -> tuple[npt.NDArray[np.float64], IdArray]:
        """Distances and row numbers (n, k) of the rows nearest to each row held, as it is decoded."""
        parts = []
        for start, count in _pieces(self.n_samples_fit_):
            D, I = self._nearest(self.index_.reconstruct_n(start, count), k, 1)
            others = np.arange(start, start + count)[:, None] != I
            others[others.all(axis=1), -1] = False  # equal rows came before it
            parts.append((D[others].reshape(count, k), I[others].reshape(count, k)))
        D, I = (np.concatenate(each) for each in zip(*parts, strict=True))
        return D, I

    def _graph(self, values: npt.NDArray[np.float64], I: IdArray) -> Any:
        """A sparse matrix (nq, n) with values (nq, k) at row numbers I (nq, k)."""
        nq, k = I.shape
        arrays = get_config().get("sparse_interface") == "sparray"  # a choice since scikit-learn 1.9
        kind = csr_array if arrays else csr_matrix
        return kind((values.ravel(), I.ravel(), np.arange(0, nq * k + 1, k)), shape=(nq, self.n_samples_fit_))


class LPLRClassifier(ClassifierMixin, _Neighbours):
    """The vote of the k nearest rows, of which a few bits a coordinate are kept: a KNeighborsClassifier.

    Parameters
    ----------
    n_neighbors : int
        Rows that vote.
    weights : {"uniform", "distance"} or callable
        What a vote counts: one, the inverse of its distance, or what a function makes of distances (nq, k).
    bits : float
        Bits a coordinate that a row costs, as in ``IndexLPLR``. A row has at least eight bytes.
    metric : {"l2", "cosine"}
        Distance.
    method : {"auto", "lplr", "lsvd", "dsvd", "nq"}
        How rows are coded, as in ``IndexLPLR``.
    random_state : int, RandomState or None
        The seed; with a number, the index is that of ``IndexLPLR(seed=random_state)``.
    n_jobs : int, optional
        Threads that encode and search, as scikit-learn counts them: one where None, all for -1.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels.
    index_ : IndexLPLR
        The packed rows; ``write_index`` saves them.
    n_samples_fit_, n_features_in_ : int
        Rows and columns fitted.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where they have some.

    Notes
    -----
    Of labels with as many votes the first in ``classes_`` wins, as in scikit-learn.
    """

    def __init__(
        self,
        n_neighbors: int = 5,
        *,
        weights: Weights = "uniform",
        bits: float = 1.0,
        metric: str = "l2",
        method: str = "auto",
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.n_neighbors = n_neighbors
        self.weights = weights
        self.bits = bits
        self.metric = metric
        self.method = method
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike) -> LPLRClassifier:
        """Pack the rows X (n, d) and remember their labels y (n,)."""
        rows, labels = validate_data(self, X, y, dtype=np.float32)
        check_classification_targets(labels)
        if not callable(self.weights):
            _one_of("weights", self.weights, WEIGHTS)
        self._fit_rows(rows)
        self.classes_, numbers = np.unique(labels, return_inverse=True)
        self._labels = numbers.astype(np.min_scalar_type(len(self.classes_) - 1))
        return self

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """The label (nq,) that the rows nearest to each query of X (nq, d) vote for."""
        winners = self.predict_proba(X).argmax(axis=1)
        labels: npt.NDArray[Any] = self.classes_[winners]
        return labels

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Each label's share (nq, n_classes) of the votes of the rows nearest to each query of X (nq, d)."""
        D, I = self.kneighbors(X)
        weights = self._weights(D)
        shares = np.zeros((len(I), len(self.classes_)))
        rows = np.arange(len(I))
        for labels, weight in zip(self._labels[I].T, weights.T, strict=True):
            shares[rows, labels] += weight
        total = shares.sum(axis=1, keepdims=True)
        # A function may give all of them no weight.
        np.divide(shares, total, out=shares, where=total > 0)
        return np.where(total > 0, shares, 1 / shares.shape[1])

    def _weights(self, D: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """What votes at distances D (nq, k) count."""
        if callable(self.weights):
            return np.asarray(self.weights(D), dtype=np.float64)
        if self.weights == "uniform":
            return np.ones_like(D)
        at_zero = D == 0  # these alone vote, where there are some
        return np.where(at_zero.any(axis=1, keepdims=True), at_zero, 1 / np.where(at_zero, 1, D))


class LPLRTransformer(TransformerMixin, ClassNamePrefixFeaturesOutMixin, _Neighbours):
    """The sparse graph of the k nearest rows, for what takes ``metric="precomputed"``: a KNeighborsTransformer.

    Parameters
    ----------
    mode : {"distance", "connectivity"}
        What stands where a row is a neighbour: its distance, or one.
    n_neighbors : int
        Neighbours of each query. With distances there is one more, as in scikit-learn: a row is its own first.
    bits : float
        Bits a coordinate that a row costs, as in ``IndexLPLR``. A row has at least eight bytes.
    metric : {"l2", "cosine"}
        Distance.
    method : {"auto", "lplr", "lsvd", "dsvd", "nq"}
        How rows are coded, as in ``IndexLPLR``.
    random_state : int, RandomState or None
        The seed; with a number, the index is that of ``IndexLPLR(seed=random_state)``.
    n_jobs : int, optional
        Threads that encode and search, as scikit-learn counts them: one where None, all for -1.

    Attributes
    ----------
    index_ : IndexLPLR
        The packed rows; ``write_index`` saves them.
    n_samples_fit_, n_features_in_ : int
        Rows and columns fitted.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns, where they have some.

    Notes
    -----
    A query that has the same code as a row is at distance zero of it: the index cannot tell the two apart.
    So a row that was fitted is at distance zero of itself, though nothing but its code is kept.
    """

    def __init__(
        self,
        mode: str = "distance",
        n_neighbors: int = 5,
        *,
        bits: float = 1.0,
        metric: str = "l2",
        method: str = "auto",
        random_state: Any = 0,
        n_jobs: int | None = None,
    ) -> None:
        self.mode = mode
        self.n_neighbors = n_neighbors
        self.bits = bits
        self.metric = metric
        self.method = method
        self.random_state = random_state
        self.n_jobs = n_jobs

    def fit(self, X: npt.ArrayLike, y: Any = None) -> LPLRTransformer:  # noqa: ARG002 - pipelines pass it
        """Pack the rows X (n, d); y is not looked at."""
        rows = validate_data(self, X, dtype=np.float32)
        _one_of("mode", self.mode, MODES)
        self._fit_rows(rows)
        return self

    def transform(self, X: npt.ArrayLike) -> Any:
        """The graph (nq, n_samples_fit_), CSR, of the rows nearest to queries X (nq, d), from the nearest on.

        Raises
        ------
        InputError
            If there are fewer rows than neighbours wanted.
        """
        check_is_fitted(self)
        queries = validate_data(self, X, dtype=np.float32, reset=False)
        distances = self.mode == "distance"
        D, I = self._nearest(queries, self.n_neighbors, int(distances))
        codes = self.index_.sa_encode(queries, threads=self._threads())
        for start, count in _pieces(len(queries)):
            piece = slice(start, start + count)
            rows = self.index_.rows.codes_of(I[piece].ravel()).reshape(*I[piece].shape, -1)
            D[piece][(rows == codes[piece, None]).all(axis=2)] = 0
        order = np.argsort(D, axis=1, kind="stable")
        D, I = np.take_along_axis(D, order, axis=1), np.take_along_axis(I, order, axis=1)
        return self._graph(D if distances else np.ones_like(D), I)

    @property
    def _n_features_out(self) -> int:
        """Columns of the graph, which ``get_feature_names_out`` numbers."""
        return self.n_samples_fit_

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64"]
        return tags


def _one_of(name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not (isinstance(value, str) and value in choices):
        raise InputError(f"expected {name} to be one of {', '.join(choices)}, got {value!r}")


def _pieces(n: int) -> Iterator[tuple[int, int]]:
    """Starts and lengths of the pieces that n rows are gone through in."""
    for start in range(0, n, _ROWS):
        yield start, min(_ROWS, n - start)
