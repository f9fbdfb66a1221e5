"""A version that changes when the code behind a number changes, and not when a comment does."""

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import cache
from importlib.metadata import version
from importlib.util import find_spec, resolve_name
from types import ModuleType


def code_version(*parts: ModuleType | str, packages: tuple[str, ...] = ()) -> str:
    """Twelve hexadecimal digits.

    :param parts: modules, hashed with every module of their own package that they import, however
        indirectly; and strings, such as a model's parameters
    :param packages: installed distributions whose version matters
    """
    digest = hashlib.blake2b(digest_size=6)
    modules = {name for p in parts if isinstance(p, ModuleType) for name in _closure(p.__name__)}
    for name in sorted(modules):
        digest.update(f"{name}:{_text(name)}".encode())
    for text in [p for p in parts if isinstance(p, str)] + [f"{p}=={version(p)}" for p in packages]:
        digest.update(text.encode())
    return digest.hexdigest()


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
    # Not a dump of the tree, which differs from one Python to the next.
    return ast.unparse(_code(name))


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
    """The modules of its own package that a module imports, wherever in it."""
    spec = find_spec(name)
    assert spec is not None
    own = name.partition(".")[0]
    for node in ast.walk(_code(name)):
        if isinstance(node, ast.Import):
            yield from (a.name for a in node.names if a.name.partition(".")[0] == own)
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), spec.parent)
            found = find_spec(base) if base.partition(".")[0] == own else None
            if found:
                yield base
                if found.submodule_search_locations is not None:
                    names = (f"{base}.{alias.name}" for alias in node.names)
                    yield from (n for n in names if find_spec(n))
