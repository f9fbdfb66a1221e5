"""A version that changes when the code behind a number changes, and only then.

Comments, docstrings and layout do not count. Nor does the address of a module: a module that is
renamed or moved to another folder keeps its version, and its tables stay up to date.

Rewritten code has another hash, even if it computes the same numbers. ``code_versions.json`` gives
such code its earlier version; ``hawk_assets_tests.same_numbers`` proves that the numbers are the
same and writes the file.
"""

import ast
import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec, resolve_name
from pathlib import Path
from types import ModuleType

KNOWN_AS = Path(__file__).with_name("code_versions.json")


def code_version(*parts: ModuleType | str, packages: tuple[str, ...] = ()) -> str:
    """Twelve hexadecimal digits.

    :param parts: modules, hashed with every module of their own package that they import, directly
        or not; and strings, such as a model's parameters
    :param packages: installed distributions whose version matters
    """
    digest = hashlib.blake2b(digest_size=6)
    modules = {name for p in parts if isinstance(p, ModuleType) for name in _closure(p.__name__)}
    for text in sorted({_text(name) for name in modules} - {""}):
        digest.update(text.encode())
    for text in [p for p in parts if isinstance(p, str)] + [f"{p}=={version(p)}" for p in packages]:
        digest.update(text.encode())
    return _known_as().get(digest.hexdigest(), digest.hexdigest())


@cache
def _known_as() -> dict[str, str]:
    """By hash of code that was rewritten without moving a number, its earlier version."""
    known: dict[str, str] = json.loads(KNOWN_AS.read_text())
    return known


def module_of(thing: object) -> ModuleType:
    """The module that defines an object's class."""
    module = inspect.getmodule(type(thing))
    assert module is not None
    return module


@cache
def _code(name: str) -> ast.Module:
    """A module without its docstrings."""
    spec = find_spec(name)
    assert spec is not None
    if spec.origin is None:
        return ast.Module(body=[], type_ignores=[])
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_docstring(s)]  # type: ignore[attr-defined]
    return tree


@cache
def _text(name: str) -> str:
    """The code of a module; the address of each import is replaced by a hash of its content."""
    return _unparsed(name, lambda address: f"m{_digest(_unparsed(address, lambda _: 'm'))}")


def _unparsed(name: str, renamed: Callable[[str], str]) -> str:
    """The code as text, with each module of its own package renamed by ``renamed``."""
    tree = deepcopy(_code(name))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (address := _own_address(name, node)):
            node.module, node.level = renamed(address), 0
    # Not ast.dump: its text differs between versions of Python.
    return ast.unparse(tree)


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


def _own_address(name: str, node: ast.ImportFrom) -> str | None:
    """The module that an import in module ``name`` names, if it belongs to the same package."""
    spec = find_spec(name)
    assert spec is not None
    base = resolve_name("." * node.level + (node.module or ""), spec.parent)
    own = base.partition(".")[0] == name.partition(".")[0]
    return base if own and find_spec(base) else None


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


@cache
def _closure(name: str) -> frozenset[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current not in seen:
            seen.add(current)
            todo += _imports(current)
    return frozenset(seen)


def _imports(name: str) -> Iterator[str]:
    """The modules of its own package that a module imports, at its top or in a function."""
    own = name.partition(".")[0]
    for node in ast.walk(_code(name)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == own)
        elif isinstance(node, ast.ImportFrom) and (base := _own_address(name, node)):
            yield base
            names = (f"{base}.{alias.name}" for alias in node.names)
            found = find_spec(base)
            if found and found.submodule_search_locations is not None:
                yield from (n for n in names if find_spec(n))
