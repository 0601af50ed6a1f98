"""The package keeps the rules of house.py, and every rule is shown to complain of what breaks it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from house import FLOORS, MODULES, NAMES, RULES, Module, Rule, below_package, circles, storey

ROOT = Path(__file__).parents[1]
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
HEAVY = {"faiss", "h5py", "llvmlite", "matplotlib", "numba", "pyarrow", "ray", "rich", "scipy", "sklearn", "torch"}
IMPORT_SECONDS = 0.5
MACHINE_PATH = re.compile(r"(?<![\w.~})\]-])/(?:home|mnt|opt|root|tmp|Users|var|work)/\w")

DOCUMENTED = '''
def scale(x: FloatMatrix, by: float) -> FloatMatrix:
    """Scale.

    Parameters
    ----------
    {x}
        The rows.
    by : float
        The factor.

    Returns
    -------
    ndarray of shape (n, d)
    """
'''

# rule, module, its text, words of the complaint
OFFENDERS = [
    ("imports_go_downhill", "bits", "from lplr_index.index import IndexLPLR", "bits imports index"),
    ("imports_go_downhill", "bits", "import lplr_index.sketches", "bits imports sketches"),
    ("imports_go_downhill", "codecs.nibble", "from lplr_index import training", "codecs imports training"),
    ("imports_go_downhill", "codecs.nibble", "from ..index import IndexLPLR", "codecs imports index"),
    ("imports_go_downhill", "index", "def search():\n    from . import cli", "index imports cli"),
    ("kernels_are_islands", "kernels.scan", "from lplr_index.errors import InputError", "imports lplr_index.errors"),
    ("kernels_are_islands", "kernels.scan", "from . import topk\n@njit(cache=True)\ndef scan(): pass", "imports lplr"),
    ("kernels_are_islands", "kernels.scan", "import scipy.linalg", "imports scipy.linalg"),
    ("imports_are_light", "evaluation", "import faiss", "faiss is optional"),
    ("imports_are_light", "vectors", "try:\n    from h5py import File\nexcept ImportError: pass", "h5py is optional"),
    ("imports_are_light", "codecs", "def encode():\n    from numba import njit", "numba outside kernels"),
    ("imports_are_light", "evaluation", "from sklearn.base import BaseEstimator", "sklearn is optional"),
    ("imports_are_light", "evaluation", "from lplr_index.estimators import LPLRClassifier", "loads another package"),
    ("imports_are_light", "estimators", "import faiss", "faiss is optional"),
    ("imports_are_light", "langchain", "from sklearn.base import BaseEstimator", "sklearn is optional"),
    ("imports_are_light", "semantic", "from lplr_index import langchain", "loads another package"),
    ("kernels_spell_their_flags", "kernels.scan", "@njit\ndef scan(): pass", "without nogil"),
    ("kernels_spell_their_flags", "kernels.scan", "@numba.njit(cache=True)\ndef scan(): pass", "without nogil"),
    ("kernels_spell_their_flags", "kernels.scan", "@njit(**FLAGS)\ndef scan(): pass", "without nogil"),
    ("kernels_spell_their_flags", "kernels.scan", "scan = njit(nogil=False)(plain)", "without nogil"),
    ("kernels_spell_their_flags", "kernels.scan", "njit(nogil=True, parallel=True)", "parallel kernels"),
    ("kernels_spell_their_flags", "kernels.scan", "njit(nogil=True, fastmath=True)", "fastmath"),
    ("kernels_spell_their_flags", "kernels.scan", "njit(nogil=True, fastmath={'nnan', 'nsz'})", "fastmath"),
    ("nothing_is_asserted_or_printed", "bits", "assert True", "assert vanishes"),
    ("nothing_is_asserted_or_printed", "bits", "def pack():\n    print(1)", "print outside"),
    ("nothing_is_asserted_or_printed", "cli", "def f():\n    print()\ndef g():\n    print()", "more than one function"),
    ("raises_are_ours", "bits", "raise ValueError('no')", "ValueError is not"),
    ("raises_are_ours", "bits", "raise np.linalg.LinAlgError", "LinAlgError is not"),
    ("raises_are_ours", "bits", "try: pass\nexcept OSError as err: pass\nraise err", "err is not"),
    ("raises_are_ours", "bits", "def pack():\n    raise AttributeError('no')", "AttributeError is not"),
    ("rooms_are_small", "bits", "x = 1\n" * 401, "401 lines"),
    ("rooms_are_small", "bits", "def pack():\n" + "    x = 1\n" * 60, "pack has 61 lines"),
    ("rooms_are_small", "kernels.scan", "def scan():\n" + "    x = 1\n" * 90, "scan has 91 lines"),
    ("names_say_something", "codecs.utils", "", "utils says nothing"),
    ("names_say_something", "_common", "", "_common says nothing"),
    ("names_say_something", "bits", "Q = 1", "Q is not"),
    ("names_say_something", "bits", "def pack(X): pass", "X is not"),
    ("docstrings_are_there", "bits", "", "the module has no docstring"),
    ("docstrings_are_there", "bits", "'''Bits.'''\ndef pack(): pass", "pack has no docstring"),
    ("docstrings_are_there", "bits", "'''Bits.'''\nclass Bits:\n    '''A.'''\n    def pack(self): pass", "pack has no"),
    ("docstrings_tell_the_signature", "bits", DOCUMENTED.format(x="y : matrix of shape (n, d)"), "but documents y, by"),
    ("docstrings_tell_the_signature", "bits", DOCUMENTED.format(x="x, y : ndarray of shape (n, d)"), "takes x, by"),
    ("docstrings_tell_shapes", "bits", DOCUMENTED.format(x="x : ndarray"), "shape of x"),
    ("docstrings_tell_shapes", "bits", DOCUMENTED.format(x="x : matrix"), "shape of x"),
    ("docstrings_tell_shapes", "bits", "def pack(x: FloatMatrix):\n    '''Pack ``x``.'''", "no shape"),
]

# What looks like an offence and is none.
INNOCENT = [
    ("imports_go_downhill", "codecs.nibble", "from lplr_index.codecs import scalar\nfrom ..bits import pack"),
    ("kernels_are_islands", "kernels.scan", "import math\nimport numpy as np\nfrom numba import njit"),
    (
        "imports_are_light",
        "evaluation",
        "import numpy\nif TYPE_CHECKING:\n    import faiss\ndef f():\n    import faiss",
    ),
    ("imports_are_light", "estimators", "from sklearn.base import BaseEstimator"),
    ("imports_are_light", "llama_index", "from llama_index.core.schema import BaseNode"),
    ("kernels_spell_their_flags", "kernels.scan", "njit(nogil=True, cache=True, fastmath={'nsz', 'contract'})"),
    ("nothing_is_asserted_or_printed", "cli", "def say():\n    print()\n    print()"),
    ("raises_are_ours", "bits", "try: pass\nexcept OSError as err:\n    raise err\nexcept KeyError:\n    raise"),
    ("raises_are_ours", "bits", "raise InputError('x')\nraise errors.HeaderError from None"),
    ("raises_are_ours", "__init__", "def __getattr__(name):\n    raise AttributeError(name)"),
    ("rooms_are_small", "bits", "def pack():\n    '''Pack." + "\n" * 60 + "'''\n" + "    x = 1\n" * 59),
    ("names_say_something", "commonality", "A = L @ R"),
    ("names_say_something", "estimators", "def fit(X, y): pass"),
    ("docstrings_are_there", "bits", "'''Bits.'''\ndef _pack(): pass\nclass _Bits:\n    def pack(self): pass"),
    ("docstrings_tell_the_signature", "bits", DOCUMENTED.format(x="x : ndarray of shape (n, d)")),
    ("docstrings_tell_shapes", "bits", DOCUMENTED.format(x="x : ndarray of shape (n, d)")),
    ("docstrings_tell_shapes", "bits", "def pack(x: FloatMatrix):\n    '''Pack the rows of ``x`` (n, d).'''"),
]

BY_NAME = {rule.__name__: rule for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule: Rule):
    complaints = [f"{module.name}:{complaint}" for module in MODULES for complaint in rule(module)]

    assert complaints == []


@pytest.mark.parametrize(("rule", "name", "text", "words"), OFFENDERS)
def test_the_rule_complains_of_an_offender(rule: str, name: str, text: str, words: str):
    complaints = list(BY_NAME[rule](Module(name, text)))

    assert any(words in complaint for complaint in complaints), complaints


@pytest.mark.parametrize(("rule", "name", "text"), INNOCENT)
def test_the_rule_leaves_the_innocent_alone(rule: str, name: str, text: str):
    assert list(BY_NAME[rule](Module(name, text))) == []


def test_every_rule_has_an_offender():
    assert {rule for rule, *_ in OFFENDERS} == set(BY_NAME)


def test_every_module_has_a_floor():
    present = {storey(module.name) for module in MODULES}

    assert present - set(FLOORS) == set(), (
        "give each a number in FLOORS of tests/house.py, higher than those of the modules it imports"
    )
    assert set(FLOORS) - present == set(), "these are gone: take them out of FLOORS in tests/house.py"


def test_no_modules_import_each_other():
    assert list(circles(MODULES)) == []


def test_a_circle_of_imports_is_seen():
    there = Module("codecs.nibble", "from lplr_index.codecs.scalar import decode")
    back = Module("codecs.scalar", "from . import nibble\nfrom .nibble import encode")

    assert list(circles([there, back])) != []


def modules_tested_by(test: str, text: str) -> set[str]:
    """Return the modules that a test file imports, runs, or is called after."""
    imported = {below_package(target) for _, target in Module(test, text).imports}
    run = {"__main__"} if '"-m", "lplr_index"' in text else set()
    called_after = {name for name in NAMES if test == f"test_{name.replace('.', '_')}"}
    return {name for name in imported | run | called_after if name}


def test_every_module_has_a_test():
    tested = set().union(*(modules_tested_by(test.stem, test.read_text("utf-8")) for test in TESTS))

    assert {module.name for module in MODULES} - tested == set(), "each wants a tests/test_<module>.py"


def test_a_module_without_a_test_is_seen():
    text = "from lplr_index import metric\nfrom lplr_index.errors import InputError\nimport numpy.bits"

    assert modules_tested_by("test_arrays", text) == {"arrays", "errors", "metric"}
    assert modules_tested_by("test_shell", 'run([sys.executable, "-m", "lplr_index"])') == {"__main__"}


def machine_paths(text: str) -> list[str]:
    return [line for line in text.splitlines() if MACHINE_PATH.search(line)]


def test_no_tracked_file_names_a_path_of_a_machine():
    git = shutil.which("git")
    if not git or not (ROOT / ".git").exists():
        pytest.skip("what is tracked is known in a git checkout only")
    listing = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    # The embedded texts are other people's words.
    tracked = [ROOT / name for name in listing.split("\0") if name and not name.startswith("lplr_index/data/")]
    texts = {
        path: path.read_bytes().decode("utf-8", "ignore")
        for path in tracked
        if path.suffix != ".npy" and path.is_file()
    }

    assert texts
    assert {str(path): machine_paths(text) for path, text in texts.items() if machine_paths(text)} == {}


@pytest.mark.parametrize("folder", ["home", "root", "tmp", "Users"])
def test_a_path_of_a_machine_is_seen(folder: str):
    assert machine_paths(f'open("/{folder}/me/vectors.npy")')
    assert not machine_paths(f"https://example.org/{folder}/me and ./{folder}/me and a/{folder}/b")


def import_probe() -> tuple[float, set[str]]:
    """Return the seconds that ``import lplr_index`` takes in a fresh interpreter, and the packages then loaded."""
    code = (
        "import sys, time; start = time.perf_counter(); import lplr_index; "
        "print(time.perf_counter() - start, *{name.partition('.')[0] for name in sys.modules})"
    )
    seconds, *packages = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    ).stdout.split()
    return float(seconds), set(packages)


def test_importing_the_package_is_quick_and_loads_nothing_heavy():
    probes = [import_probe() for _ in range(5)]

    assert "lplr_index" in probes[0][1]
    assert probes[0][1] & HEAVY == set()
    assert min(seconds for seconds, _ in probes) < IMPORT_SECONDS
