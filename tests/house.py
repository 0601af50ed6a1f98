"""The house rules of CONTRIBUTING.md, as functions from a module to complaints; test_house.py applies them."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import lplr_index

# A module or package imports from lower floors only, never from its own; inside a package the order is free of circles.
FLOORS = {
    "errors": -2,  # the cellar: what the door stands on
    "extras": -1,
    "kernels": -1,
    "arrow": 0,
    "metric": 1,
    "gains": 1,
    "arrays": 1,
    "memory": 1,
    "atomic": 1,
    "norms": 2,
    "bits": 2,
    "linalg": 2,
    "lloyd": 2,
    "allocation": 2,
    "ids": 2,
    "threads": 2,
    "settings": 2,
    "contract": 2,
    "container": 2,
    "vectors": 2,
    "approximations": 3,
    "quantizers": 3,
    "integers": 3,
    "sketches": 3,
    "basis": 3,
    "products": 3,
    "projection": 3,
    "blocks": 3,
    "filters": 3,
    "originals": 3,
    "rows": 4,
    "factors": 4,
    "caldera": 4,
    "hera": 4,
    "codecs": 4,
    "coarse": 4,
    "lists": 5,
    "factorization": 5,
    "attempts": 6,
    "factorfiles": 6,
    "pictures": 7,
    "model": 5,
    "auto": 5,
    "listmodel": 6,
    "training": 7,
    "asking": 6,
    "scanning": 7,
    "probing": 8,
    "index": 9,
    "residuals": 9,
    "ivf": 10,
    "interop": 10,
    "data": 9,
    "reranking": 10,
    "refine": 11,
    "modelfiles": 10,
    "listfiles": 11,
    "frames": 12,
    "semantic": 12,
    "storage": 12,
    "factory": 12,
    "building": 12,
    "store": 13,
    "compiling": 13,
    "cluster": 14,
    "embedding": 13,
    "evaluation": 13,
    "reporting": 14,
    "estimators": 13,
    "__init__": 14,
    "document_table": 13,
    "documents": 14,
    "langchain": 15,
    "llama_index": 15,
    "cli": 15,
    "__main__": 16,
}
# For a module without a floor, of which another test complains.
LOWEST, HIGHEST = min(FLOORS.values()) - 1, max(FLOORS.values()) + 1

# Modules whose classes derive from another package's and keep its names; they are loaded by whoever imports them.
GUESTS = {
    "estimators": {"sklearn", "scipy", "joblib"},
    "langchain": {"langchain_core"},
    "llama_index": {"llama_index"},
}
GUESTS_CAPITALS = "X"

PACKAGE = "lplr_index"
MODULE_LINES = 400
FUNCTION_LINES = 60
KERNEL_LINES = 90
VAGUE_NAMES = {"common", "core", "helper", "helpers", "misc", "util", "utils"}
CAPITALS = "ALRSDI"
LIGHT = {"numpy", "threadpoolctl"} | sys.stdlib_module_names
COMPILER = {"numba", "llvmlite"}
ISLAND = {"numpy"} | COMPILER | sys.stdlib_module_names
SHAPE = re.compile(r"\([\w*/+ ().-]+,[^)]*\)")  # (n, d), (n,), (ceil(n / 32), 32 * code_size)
UNSAFE_MATH = {"fast", "nnan", "ninf"}  # top-k marks the end of a short list by infinity

Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef
Rule = Callable[["Module"], Iterator[str]]


@dataclass(frozen=True)
class Module:
    """A module by its dotted name below the package, the package itself being ``__init__``."""

    name: str
    text: str
    is_package: bool = False

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @property
    def is_island(self) -> bool:
        return self.name.startswith("kernels.")

    @cached_property
    def imports(self) -> list[tuple[ast.stmt, str]]:
        """Every import, wherever it stands, with the full name of the module it asks for."""
        found: list[tuple[ast.stmt, str]] = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                found += [(node, alias.name) for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = self._base(node)
                for alias in node.names:
                    inner = f"{base}.{alias.name}"
                    found.append((node, inner if below_package(inner) in NAMES else base))
        return found

    def _base(self, node: ast.ImportFrom) -> str:
        """Return the full name of what a ``from`` import starts at; dots go up from the module to its package."""
        if node.level == 0:
            return node.module or ""
        here = [PACKAGE] if self.name == "__init__" else [PACKAGE, *self.name.split(".")]
        start = here[: len(here) - node.level + self.is_package]
        return ".".join([*start, *filter(None, [node.module])])


def read_modules() -> list[Module]:
    """Read every module of the package, in alphabetical order."""
    folder = Path(lplr_index.__file__).parent
    modules = []
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if is_package else parts) or "__init__"
        modules.append(Module(name, path.read_text("utf-8"), is_package))
    return modules


def below_package(target: str) -> str | None:
    """Return ``bits`` for ``lplr_index.bits`` and None for a module of others."""
    if target == PACKAGE:
        return "__init__"
    return target.removeprefix(f"{PACKAGE}.") if target.startswith(f"{PACKAGE}.") else None


MODULES = read_modules()
NAMES = set(FLOORS) | {module.name for module in MODULES}
ERRORS = {
    node.name
    for module in MODULES
    if module.name == "errors"
    for node in module.tree.body
    if isinstance(node, ast.ClassDef)
}
ARRAY_TYPES = {"NDArray", "ndarray", "ArrayLike"} | {
    target.id
    for module in MODULES
    for node in module.tree.body
    if isinstance(node, ast.Assign) and "NDArray[" in ast.unparse(node.value)
    for target in node.targets
    if isinstance(target, ast.Name)
}


def storey(name: str) -> str:
    """Return the entry of FLOORS that a module belongs to: its own name or its package's."""
    return name if name in FLOORS else name.partition(".")[0]


def functions(module: Module) -> Iterator[Function]:
    yield from (node for node in ast.walk(module.tree) if isinstance(node, Function))


def public_definitions(module: Module) -> Iterator[tuple[Definition, ast.ClassDef | None]]:
    """Yield public functions and classes, and with their class the public methods of public classes."""
    outer: list[tuple[ast.AST, ast.ClassDef | None]] = [(module.tree, None)]
    while outer:
        parent, owner = outer.pop()
        for node in ast.iter_child_nodes(parent):
            if not isinstance(node, Definition):
                if isinstance(node, ast.If | ast.Try | ast.With):
                    outer.append((node, owner))
            elif not node.name.startswith("_") and not is_repetition(node):
                yield node, owner
                if isinstance(node, ast.ClassDef):
                    outer.append((node, node))


def is_repetition(node: Definition) -> bool:
    """Tell an overload or a setter, which share the docstring of the function they belong to."""
    return any(ast.unparse(each).endswith(("overload", ".setter", ".deleter")) for each in node.decorator_list)


def parameters(node: Definition, owner: ast.ClassDef | None) -> dict[str, str]:
    """Return the parameters of a function, or those its class is made with, and their annotations."""
    if isinstance(node, ast.ClassDef):
        made_by = [each for each in node.body if isinstance(each, Function) and each.name == "__init__"]
        if made_by:
            return parameters(made_by[0], node)
        fields = [each for each in node.body if isinstance(each, ast.AnnAssign)]
        annotations = {ast.unparse(each.target): ast.unparse(each.annotation) for each in fields}
        return {name: kind for name, kind in annotations.items() if name[0] != "_" and "ClassVar" not in kind}
    spec = node.args
    all_args = [*spec.posonlyargs, *spec.args, spec.vararg, *spec.kwonlyargs, spec.kwarg]
    if owner and "staticmethod" not in map(ast.unparse, node.decorator_list):
        all_args = all_args[1:]
    return {each.arg: ast.unparse(each.annotation) if each.annotation else "" for each in all_args if each}


def documented_parameters(docstring: str) -> dict[str, str] | None:
    """Return names and types of numpydoc's section Parameters, or None where there is no such section."""
    section = re.search(r"^Parameters\n-+\n(.*?)(?=^\w[\w ]*\n-+$|\Z)", docstring, re.MULTILINE | re.DOTALL)
    if not section:
        return None
    heads = [line.partition(" : ") for line in section[1].splitlines() if line and not line[0].isspace()]
    return {name.strip("* "): kind for names, _, kind in heads for name in names.split(",")}


def imports_go_downhill(module: Module) -> Iterator[str]:
    here = storey(module.name)
    for node, target in module.imports:
        there = storey(below_package(target) or here)
        if there != here and FLOORS.get(there, LOWEST) >= FLOORS.get(here, HIGHEST):
            yield f"{node.lineno}: {here} imports {there}, which is not on a lower floor"


def kernels_are_islands(module: Module) -> Iterator[str]:
    """A cached kernel is not compiled again when code it uses in another file changes, unless it carries its STAMP."""
    seen = "STAMP" in module.text or "cache=True" not in module.text
    for node, target in module.imports:
        neighbour = target.startswith(f"{PACKAGE}.kernels.") and seen
        if module.is_island and target.partition(".")[0] not in ISLAND and not neighbour:
            yield f"{node.lineno}: a kernel file imports {target}"


def imports_are_light(module: Module) -> Iterator[str]:
    """Optional packages load where they are used, and only kernels are compiled."""
    lazy = {
        node
        for scope in ast.walk(module.tree)
        if isinstance(scope, Function) or (isinstance(scope, ast.If) and "TYPE_CHECKING" in ast.unparse(scope.test))
        for node in ast.walk(scope)
    }
    for node, target in module.imports:
        package = target.partition(".")[0]
        if package in COMPILER:
            if not module.is_island and storey(module.name) != "kernels":
                yield f"{node.lineno}: {package} outside kernels"
        elif below_package(target) in GUESTS and node not in lazy:
            yield f"{node.lineno}: {target} loads another package: import it in the function that needs it"
        elif package not in LIGHT | {PACKAGE} | GUESTS.get(module.name, set()) and node not in lazy:
            yield f"{node.lineno}: {package} is optional: import it in the function that needs it"


def kernels_spell_their_flags(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Call) and is_compiler(node.func):
            yield from flag_complaints(node)
        elif isinstance(node, Function):
            bare = [each for each in node.decorator_list if is_compiler(each)]
            yield from (f"{each.lineno}: a kernel without nogil=True" for each in bare)


def is_compiler(node: ast.expr) -> bool:
    return ast.unparse(node).split(".")[-1] in {"jit", "njit"}


def flag_complaints(call: ast.Call) -> Iterator[str]:
    flags = {each.arg: ast.unparse(each.value) for each in call.keywords}
    if flags.get("nogil") != "True":
        yield f"{call.lineno}: a kernel without nogil=True"
    if flags.get("parallel", "False") != "False":
        yield f"{call.lineno}: parallel kernels abort the interpreter when two threads call them"
    fastmath = flags.get("fastmath", "False")
    if fastmath != "False" and (fastmath[0] != "{" or UNSAFE_MATH & set(re.findall(r"\w+", fastmath))):
        yield f"{call.lineno}: fastmath is a written set without {', '.join(sorted(UNSAFE_MATH))}"


def nothing_is_asserted_or_printed(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Assert):
            yield f"{node.lineno}: assert vanishes under python -O"
        if isinstance(node, ast.Name) and node.id == "print" and storey(module.name) != "cli":
            yield f"{node.lineno}: print outside the command line"
    printers = [each.name for each in functions(module) if "print" in {getattr(n, "id", "") for n in ast.walk(each)}]
    if len(printers) > 1:
        yield f"1: more than one function prints: {', '.join(printers)}"


def raises_are_ours(module: Module) -> Iterator[str]:
    """Nothing is raised but our errors, what was just caught, and the AttributeError that Python is owed."""
    owed = set()
    for scope in ast.walk(module.tree):
        name = None
        if isinstance(scope, ast.ExceptHandler):
            name = scope.name
        elif isinstance(scope, Function) and scope.name in {"__getattr__", "__setattr__"}:
            name = "AttributeError"
        owed |= {node for node in ast.walk(scope) if isinstance(node, ast.Raise) and raised(node) == name}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Raise) and node not in owed and raised(node) not in ERRORS | {""}:
            yield f"{node.lineno}: {raised(node)} is not a class of errors.py"


def raised(node: ast.Raise) -> str:
    """Return the name of what is raised, empty where it is what is being handled."""
    what = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return ast.unparse(what).split(".")[-1] if what else ""


def rooms_are_small(module: Module) -> Iterator[str]:
    lines = len(module.text.splitlines())
    if lines > MODULE_LINES:
        yield f"1: {lines} lines, more than {MODULE_LINES}"
    most = KERNEL_LINES if storey(module.name) == "kernels" else FUNCTION_LINES
    for node in functions(module):
        first, *_ = node.body
        contract = lines_of(first) if ast.get_docstring(node) else 0
        lines = lines_of(node) - contract
        if lines > most:
            yield f"{node.lineno}: {node.name} has {lines} lines beside its docstring, more than {most}"


def lines_of(node: ast.stmt) -> int:
    return (node.end_lineno or 0) - node.lineno + 1


def names_say_something(module: Module) -> Iterator[str]:
    for part in module.name.split("."):
        if part.strip("_") in VAGUE_NAMES:
            yield f"1: {part} says nothing about what is inside"
    names = {node.arg: node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.arg)}
    names |= {node.id: node.lineno for node in ast.walk(module.tree) if isinstance(node, ast.Name)}
    for name, line in names.items():
        allowed = CAPITALS + GUESTS_CAPITALS * (module.name in GUESTS)
        if len(name) == 1 and name.isupper() and name not in allowed:
            yield f"{line}: {name} is not one of the capitals {', '.join(allowed)}"


def docstrings_are_there(module: Module) -> Iterator[str]:
    if not ast.get_docstring(module.tree):
        yield "1: the module has no docstring"
    for node, _ in public_definitions(module):
        if not ast.get_docstring(node):
            yield f"{node.lineno}: {node.name} has no docstring"


def docstrings_tell_the_signature(module: Module) -> Iterator[str]:
    for node, owner in public_definitions(module):
        documented = documented_parameters(ast.get_docstring(node) or "")
        actual = parameters(node, owner)
        if documented is not None and list(documented) != list(actual):
            yield f"{node.lineno}: {node.name} takes {', '.join(actual)} but documents {', '.join(documented)}"


def docstrings_tell_shapes(module: Module) -> Iterator[str]:
    for node, owner in public_definitions(module):
        docstring = ast.get_docstring(node) or ""
        documented = documented_parameters(docstring)
        arrays = [name for name, kind in parameters(node, owner).items() if ARRAY_TYPES & set(re.findall(r"\w+", kind))]
        if documented is not None:
            arrays += [name for name, kind in documented.items() if "array" in kind and name not in arrays]
            for name in arrays:
                if "shape (" not in documented.get(name, ""):
                    yield f"{node.lineno}: {node.name} does not say the shape of {name}: 'of shape (n, d)'"
        elif arrays and isinstance(node, Function) and not SHAPE.search(docstring):
            yield f"{node.lineno}: {node.name} says no shape, such as (n, d), of {', '.join(arrays)}"


def circles(modules: list[Module]) -> Iterator[str]:
    """Complain of modules that import each other, which floors forbid between packages but not inside one."""
    graph = {module.name: {below_package(target) or module.name for _, target in module.imports} for module in modules}
    try:
        TopologicalSorter({name: imported - {name} for name, imported in graph.items()}).prepare()
    except CycleError as err:
        yield f"a circle of imports: {' -> '.join(err.args[1])}"


RULES: list[Rule] = [
    imports_go_downhill,
    kernels_are_islands,
    imports_are_light,
    kernels_spell_their_flags,
    nothing_is_asserted_or_printed,
    raises_are_ours,
    rooms_are_small,
    names_say_something,
    docstrings_are_there,
    docstrings_tell_the_signature,
    docstrings_tell_shapes,
]
