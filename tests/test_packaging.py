"""What pip installs: the declared needs, the wheel, and the files around them that say the same thing twice."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.wheel import WheelBuilder

import lplr_index

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
PROJECT = PYPROJECT["project"]


def package_names(requirements: list[str]) -> set[str]:
    return {re.split(r"[\[<>=~! ]", requirement)[0] for requirement in requirements}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Build the wheel as pip would; give its files by name."""
    path = next(WheelBuilder(str(ROOT)).build(directory=str(tmp_path_factory.mktemp("wheel")), versions=["standard"]))
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_the_wheel_holds_the_package_with_its_types_and_data_and_nothing_else(wheel: dict[str, bytes]):
    files = [path for path in (ROOT / "lplr_index").rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files}

    packed = {name: data for name, data in wheel.items() if ".dist-info/" not in name}

    assert packed == expected
    assert "lplr_index/py.typed" in packed


def test_the_wheel_carries_the_licence_and_the_command(wheel: dict[str, bytes]):
    info = {name.partition(".dist-info/")[2]: data.decode() for name, data in wheel.items() if ".dist-info/" in name}

    assert "lplr-index = lplr_index.cli:main" in info["entry_points.txt"]
    assert info["licenses/LICENSE"] == (ROOT / "LICENSE").read_text("utf-8")
    assert "License-Expression: MIT" in info["METADATA"]


def test_the_core_needs_three_packages():
    assert package_names(PROJECT["dependencies"]) == {"numpy", "numba", "threadpoolctl"}


def test_every_requirement_states_its_oldest_version():
    extras = PROJECT["optional-dependencies"]
    requirements = PROJECT["dependencies"] + [each for extra in extras.values() for each in extra]

    unbounded = [each for each in requirements if ">=" not in each and not each.startswith("lplr_index[")]

    assert unbounded == []


def test_the_extra_all_is_every_other_extra():
    extras = PROJECT["optional-dependencies"]

    assert extras["all"] == [f"lplr_index[{','.join(name for name in extras if name != 'all')}]"]


def test_extras_asked_for_in_the_package_exist():
    sources = "".join(path.read_text("utf-8") for path in (ROOT / "lplr_index").rglob("*.py"))

    asked_for = set(re.findall(r'\brequire\("[\w.]+", "(\w+)"\)', sources))

    assert asked_for - set(PROJECT["optional-dependencies"]) == set()


def test_versions_agree():
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    versions = re.findall(r"^## ([\d.]+)", changelog, re.MULTILINE)

    assert lplr_index.__version__ == PROJECT["version"] == versions[0]


def test_a_readme_is_also_the_long_description():
    assert PROJECT.get("readme") == ("README.md" if (ROOT / "README.md").is_file() else None)


def test_every_ignored_lint_rule_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text("utf-8")
    rules = re.findall(r'^ {4}("[A-Z]+\d*",.*)$', text, re.MULTILINE)

    assert len(rules) > 10
    assert [rule for rule in rules if not re.search(r"# \w+", rule)] == []
