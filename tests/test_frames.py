"""frames.py: what an index gives, as Arrow columns that share its memory and tables that frames are made of."""

from __future__ import annotations

import numpy as np
import pytest

from lplr_index import IndexLPLR, IndexRefineLPLR, open_store
from lplr_index.arrays import as_array
from lplr_index.errors import InputError
from lplr_index.frames import code_column, search_table, vector_column

pa = pytest.importorskip("pyarrow")


def made(vectors, metric="cosine"):
    index = IndexLPLR(48, 1.0, metric)
    index.train(vectors.xt)
    index.add_with_ids(vectors.xb, np.arange(1000) + 500)
    return index


@pytest.fixture(scope="module")
def index(vectors):
    return made(vectors)


def test_results_are_a_table(index, vectors):
    D, I = index.search(vectors.xq, 4)

    table = search_table(index, vectors.xq, 4)

    assert table.schema == pa.schema({"query": pa.int64(), "rank": pa.int32(), "id": pa.int64(), "score": pa.float32()})
    np.testing.assert_array_equal(table["query"], np.repeat(np.arange(50), 4))
    np.testing.assert_array_equal(table["rank"], np.tile(np.arange(4), 50))
    np.testing.assert_array_equal(table["id"], I.ravel())
    np.testing.assert_array_equal(table["score"], D.ravel())
    frame = table.to_pandas()
    assert frame.groupby("query")["score"].max().to_numpy().tolist() == D[:, 0].tolist()


def test_under_l2_there_are_distances(vectors):
    index = made(vectors, "l2")

    table = search_table(index, vectors.xq, 3)

    assert table.column_names == ["query", "rank", "id", "distance"]
    np.testing.assert_array_equal(table["distance"], index.search(vectors.xq, 3)[0].ravel())


def test_what_is_missing_is_no_row(index, vectors):
    table = search_table(index, vectors.xq[:2], 9, filter=[501, 507])

    assert table["query"].to_pylist() == [0, 0, 1, 1]
    assert table["rank"].to_pylist() == [0, 1, 0, 1]
    assert set(table["id"].to_pylist()) == {501, 507}


def test_a_second_stage_is_searched_too(index, vectors):
    base = IndexLPLR(48, 1.0)
    base.train(vectors.xt)
    base.add(vectors.xb)
    refined = IndexRefineLPLR(base, originals=vectors.xb)

    table = search_table(refined, vectors.xq, 5)

    np.testing.assert_array_equal(table["id"], refined.search(vectors.xq, 5)[1].ravel())


def test_ids_of_a_store_may_be_strings(vectors, tmp_path):
    with open_store(tmp_path / "store", 48, ids="str") as store:
        store.add(pa.table({"vector": vector_column(vectors.xb[:3])}), ["a", "b", "c"])

        table = search_table(store, vectors.xb[:2], 5)

        assert table.schema.field("id").type == pa.string()
        assert table["rank"].to_pylist() == [0, 1, 2] * 2
        assert [row["id"] for row in table.to_pylist() if row["rank"] == 0] == ["a", "b"]


def test_codes_and_vectors_share_memory(index, vectors):
    codes, x_hat = index.sa_encode(vectors.xb), index.reconstruct_n()

    packed, lists = code_column(codes), vector_column(x_hat)

    assert (packed.type, lists.type) == (pa.binary(index.code_size), pa.list_(pa.float32(), 48))
    assert packed[7].as_py() == codes[7].tobytes()
    assert np.shares_memory(as_array(packed), codes)
    assert np.shares_memory(as_array(lists), x_hat)


def test_a_table_holds_codes_that_an_index_takes_back(index, vectors, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    stored = pa.table({"id": np.arange(1000) + 500, "code": code_column(index.sa_encode(vectors.xb))})
    parquet.write_table(stored, tmp_path / "codes.parquet")
    table = parquet.read_table(tmp_path / "codes.parquet")

    again = IndexLPLR(48, 1.0)
    again.train(vectors.xt)
    again.add_sa_codes(table["code"], table["id"])

    assert search_table(again, vectors.xq, 5) == search_table(index, vectors.xq, 5)


@pytest.mark.parametrize(
    ("make", "x", "message"),
    [
        (code_column, np.zeros(3, np.uint8), r"expected codes of shape \(n, code_size\), got shape \(3,\)"),
        (code_column, np.zeros((3, 2)), r"expected codes of shape \(n, 2\) and dtype uint8, got float64"),
        (vector_column, [1.0, 2.0], r"expected x of shape \(n, d\), got shape \(2,\)"),
    ],
)
def test_what_is_wrong_is_said(make, x, message):
    with pytest.raises(InputError, match=message):
        make(x)


@pytest.mark.guests
def test_polars_goes_in_and_comes_out(index, vectors):
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame({"id": np.arange(1000) + 500, "vector": vectors.xb})
    lists = polars.Series("vector", vectors.xq.tolist())
    ours = IndexLPLR(48, 1.0)
    ours.train(polars.DataFrame(vectors.xt))

    ours.add_with_ids(frame["vector"], frame["id"])
    found = polars.from_arrow(search_table(ours, lists, 3))

    assert ours.ntotal == 1000
    assert found.equals(polars.from_arrow(search_table(index, vectors.xq, 3)))
    assert found.filter(polars.col("rank") == 0)["id"].to_list() == index.search(vectors.xq, 1)[1].ravel().tolist()
    np.testing.assert_array_equal(as_array(frame), vectors.xb)
    with pytest.raises(InputError, match="expected lists of 1 in x, got null in row 1"):
        ours.add(polars.Series([[1.0], None]))
