"""llama_index.py: what LlamaIndex asks of a vector store, beside its own store in memory."""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.guests

core = pytest.importorskip("llama_index.core")
schema = pytest.importorskip("llama_index.core.schema")
types = pytest.importorskip("llama_index.core.vector_stores.types")

from lplr_index import llama_index  # noqa: E402
from lplr_index.errors import InputError, MissingDependencyError, UnsupportedError  # noqa: E402

LPLRVectorStore = llama_index.LPLRVectorStore
Filter, Filters, Operator = types.MetadataFilter, types.MetadataFilters, types.FilterOperator
Query, Mode = types.VectorStoreQuery, types.VectorStoreQueryMode

METADATA = [
    {"year": 1994, "genre": "drama", "tags": ["a", "b"], "title": "The Shawshank Redemption"},
    {"year": 1972, "genre": "crime", "tags": ["b"], "title": "The Godfather"},
    {"year": 2008, "genre": "action", "tags": [], "title": "The Dark Knight"},
    {"year": 1993, "genre": "drama", "tags": ["a", "c"], "title": "Schindler's List"},
    {"year": 2010, "rating": 8.8, "title": "Inception"},
    {"genre": None, "title": ""},
]


def make_nodes():
    rng = np.random.default_rng(5)
    return [
        schema.TextNode(
            id_=f"node-{number}",
            text=f"text of {number}",
            metadata=metadata,
            embedding=rng.standard_normal(16).tolist(),
            relationships={schema.NodeRelationship.SOURCE: schema.RelatedNodeInfo(node_id=f"film-{number // 2}")},
        )
        for number, metadata in enumerate(METADATA)
    ]


@pytest.fixture
def nodes():
    return make_nodes()


@pytest.fixture
def store(tmp_path, nodes):
    made = LPLRVectorStore(tmp_path / "films")
    assert made.add(nodes) == [node.node_id for node in nodes]
    yield made
    made.close()


@pytest.fixture
def simple(nodes):
    """LlamaIndex's own store, which compares everything."""
    theirs = core.vector_stores.SimpleVectorStore()
    theirs.add(nodes)
    return theirs


def ask(**options):
    return Query(**{"query_embedding": np.random.default_rng(9).standard_normal(16).tolist(), **options})


def test_it_is_a_vector_store(store):
    assert isinstance(store, types.BasePydanticVectorStore)
    assert isinstance(store, types.VectorStore)
    assert (store.stores_text, store.is_embedding_query, store.class_name()) == (True, True, "LPLRVectorStore")
    assert store.client.path.name == "films"
    assert store.to_dict()["path"].endswith("films")


@pytest.mark.parametrize("k", [1, 3, 10])
def test_a_query_finds_what_comparing_all_finds(store, simple, nodes, k):
    ours, theirs = (each.query(ask(similarity_top_k=k)) for each in (store, simple))

    assert ours.ids == theirs.ids
    assert ours.similarities == pytest.approx(theirs.similarities, abs=1e-5)
    assert [node.node_id for node in ours.nodes] == ours.ids
    first = next(node for node in nodes if node.node_id == ours.ids[0])
    assert ours.nodes[0].get_content() == first.get_content()
    assert ours.nodes[0].metadata == first.metadata
    assert ours.nodes[0].ref_doc_id == first.ref_doc_id
    assert asyncio.run(store.aquery(ask(similarity_top_k=k))).ids == ours.ids


FILTERS = [
    Filters(filters=[Filter(key="genre", value="drama")]),
    Filters(filters=[Filter(key="genre", value="drama"), Filter(key="year", value=1993)]),
    Filters(filters=[Filter(key="year", value=1994), Filter(key="year", value=1993)]),
    Filters(filters=[Filter(key="genre", value="drama"), Filter(key="year", value=1972)], condition="or"),
    Filters(filters=[Filter(key="genre", value="drama"), Filter(key="year", value=1972)], condition="not"),
    Filters(filters=[]),
] + [
    Filters(filters=[Filter(key=key, value=value, operator=operator)])
    for key, value, operator in [
        ("year", 1994, Operator.GT),
        ("year", 1994, Operator.GTE),
        ("year", 1994, Operator.LT),
        ("year", 1994, Operator.LTE),
        ("year", 1994, Operator.NE),
        ("rating", 8.8, Operator.EQ),
        ("genre", ["drama", "crime"], Operator.IN),
        ("genre", ["drama", "crime"], Operator.NIN),
        ("tags", ["a", "c"], Operator.ANY),
        ("tags", ["a", "c"], Operator.ALL),
        ("tags", "b", Operator.CONTAINS),
        ("title", "The", Operator.TEXT_MATCH),
        ("title", "the", Operator.TEXT_MATCH_INSENSITIVE),
        ("genre", None, Operator.IS_EMPTY),
        ("tags", None, Operator.IS_EMPTY),
        ("title", None, Operator.IS_EMPTY),
    ]
]


@pytest.mark.parametrize(
    "filters", FILTERS, ids=lambda each: f"{each.condition}-{[f.operator.name for f in each.filters]}"
)
def test_filters_are_llama_indexes(store, simple, filters):
    ours, theirs = (each.query(ask(similarity_top_k=10, filters=filters)) for each in (store, simple))

    assert ours.ids == theirs.ids
    assert sorted(node.node_id for node in store.get_nodes(filters=filters)) == sorted(theirs.ids)


def test_filters_may_hold_others(store):
    old = Filters(filters=[Filter(key="year", value=1994, operator=Operator.LT)])
    either = Filters(filters=[Filter(key="genre", value="action"), old], condition="or")

    nested = Filters(filters=[either, Filter(key="title", value="The", operator=Operator.TEXT_MATCH)])

    assert sorted(store.query(ask(similarity_top_k=10, filters=nested)).ids) == ["node-1", "node-2"]


def test_ids_of_nodes_and_documents_narrow_a_query(store, simple):
    some = ask(similarity_top_k=10, node_ids=["node-1", "node-4", "nobody"])

    assert store.query(some).ids == simple.query(some).ids
    assert sorted(store.query(ask(similarity_top_k=10, doc_ids=["film-1"])).ids) == ["node-2", "node-3"]
    drama = Filters(filters=[Filter(key="genre", value="drama")])
    assert store.query(ask(similarity_top_k=10, doc_ids=["film-1"], filters=drama)).ids == ["node-3"]
    assert len(store.query(ask(similarity_top_k=10, node_ids=[], doc_ids=[])).ids) == 6
    nothing = store.query(ask(node_ids=["nobody"]))
    assert (nothing.ids, nothing.similarities, nothing.nodes) == ([], [], [])


@pytest.mark.parametrize("threshold", [0.1, 0.5, 1.0])
def test_results_that_differ(store, simple, threshold):
    query = ask(similarity_top_k=3, mode=Mode.MMR)

    ours, theirs = (each.query(query, mmr_threshold=threshold) for each in (store, simple))

    assert ours.ids == theirs.ids
    assert len(ours.nodes) == len(ours.similarities) == 3
    assert store.query(ask(similarity_top_k=3, mode=Mode.MMR, mmr_threshold=threshold)).ids == theirs.ids


def test_nodes_are_got_replaced_and_deleted(store, nodes):
    assert [node.node_id for node in store.get_nodes(["node-3", "nobody", "node-0"])] == ["node-3", "node-0"]
    assert len(store.get_nodes()) == 6

    nodes[0].text = "another text"
    store.add(nodes[:1])
    assert store.get_nodes(["node-0"])[0].get_content() == "another text"
    assert len(store.get_nodes()) == 6

    store.delete("film-1")
    assert sorted(node.node_id for node in store.get_nodes()) == ["node-0", "node-1", "node-4", "node-5"]
    store.delete_nodes(["node-4", "nobody"])
    store.delete_nodes(filters=Filters(filters=[Filter(key="genre", value="crime")]))
    assert sorted(node.node_id for node in store.get_nodes()) == ["node-0", "node-5"]
    asyncio.run(store.adelete_nodes(["node-5"]))
    asyncio.run(store.async_add(nodes[4:5]))
    assert sorted(asyncio.run(store.aget_nodes())[1].metadata) == ["rating", "title", "year"]
    store.clear()
    assert store.get_nodes() == []
    assert store.query(ask()).ids == []


def test_other_kinds_of_nodes_come_back_as_they_were(tmp_path):
    store = LPLRVectorStore(tmp_path / "kinds")
    kinds = [
        schema.TextNode(id_="text", text="words", embedding=[1.0] * 8, start_char_idx=3),
        schema.ImageNode(id_="image", image="aGVsbG8=", text="a picture", embedding=[2.0] * 8),
        schema.IndexNode(id_="index", text="points", index_id="elsewhere", embedding=[3.0] * 8),
        schema.Node(id_="parts", text_resource={"text": "part"}, embedding=[4.0] * 8),
    ]
    store.add(kinds)

    for sent, came in zip(kinds, store.get_nodes([node.node_id for node in kinds]), strict=True):
        assert type(came) is type(sent)
        assert came.model_dump() == sent.model_dump() | {"embedding": None}
    store.close()


def test_a_folder_outlives_the_process(store, tmp_path, nodes):
    expected = store.query(ask(similarity_top_k=6))
    store.persist()
    store.close()

    again = LPLRVectorStore(tmp_path / "films")

    assert again.query(ask(similarity_top_k=6)).ids == expected.ids
    again.close()
    temporary = LPLRVectorStore()
    temporary.add(nodes)
    with pytest.raises(InputError, match="expected a store that was made with a path, got one in a temporary folder"):
        temporary.persist("storage/vector_store.json")
    temporary.close()


def test_distances_are_similarities_too(tmp_path, nodes):
    store = LPLRVectorStore(tmp_path / "l2", metric="l2")
    store.add(nodes)

    found = store.query(ask(similarity_top_k=6))

    assert found.similarities == sorted(found.similarities, reverse=True)
    assert found.similarities[0] < 0
    store.close()


def test_an_index_of_llama_index_lives_in_it(tmp_path):
    embedding = core.MockEmbedding(embed_dim=8)
    store = LPLRVectorStore(tmp_path / "posts")
    context = core.StorageContext.from_defaults(vector_store=store)
    posts = [core.Document(text=f"post {number}", id_=f"post-{number}") for number in range(5)]

    index = core.VectorStoreIndex.from_documents(posts, context, embed_model=embedding)
    index.delete_ref_doc("post-3")
    retriever = core.VectorStoreIndex.from_vector_store(store, embedding).as_retriever(similarity_top_k=10)

    assert sorted(each.node.ref_doc_id for each in retriever.retrieve("post")) == [
        "post-0",
        "post-1",
        "post-2",
        "post-4",
    ]
    store.close()


@pytest.mark.parametrize(
    ("query", "error", "message"),
    [
        (Query(query_str="words"), InputError, "expected a query with an embedding, got one without"),
        (ask(mode=Mode.HYBRID), UnsupportedError, "expected the mode default or mmr, got hybrid"),
        (
            ask(filters=Filters(filters=[Filter(key="title", value=3, operator=Operator.GT)])),
            UnsupportedError,
            "expected a filter that suits the metadata of node-0, got .*title",
        ),
    ],
)
def test_what_is_wrong_is_said(store, query, error, message):
    with pytest.raises(error, match=message):
        store.query(query)


def test_a_node_without_embedding(store):
    with pytest.raises(ValueError, match="embedding not set"):
        store.add([schema.TextNode(text="words")])


def test_without_llama_index_the_module_says_what_brings_it(monkeypatch):
    monkeypatch.delitem(sys.modules, "lplr_index.llama_index")
    monkeypatch.setitem(sys.modules, "llama_index.core.schema", None)

    with pytest.raises(MissingDependencyError, match=r'pip install "lplr_index\[llama-index\]" brings'):
        __import__("lplr_index.llama_index")
