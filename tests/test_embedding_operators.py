"""embedding/operators.py: torchvision is imported beside a torch that its wheel was not built for."""

from __future__ import annotations

import subprocess
import sys
import textwrap

from commands import environment

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
