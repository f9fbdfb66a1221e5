"""A version that changes when the code behind a number changes, and not when a comment does."""

import ast
import hashlib
import importlib.util
import inspect
from functools import cache
from importlib.metadata import version
from types import ModuleType

_PACKAGE = "hawk_assets"


def code_version(*parts: ModuleType | str, packages: tuple[str, ...] = ()) -> str:
    """Twelve hexadecimal digits.

    :param parts: modules, hashed with every module of this project that they import; and strings,
        such as a model's parameters
    :param packages: installed distributions whose version matters
    """
    digest = hashlib.blake2b(digest_size=6)
    for name in sorted(
        {name for p in parts if isinstance(p, ModuleType) for name in _closure(p.__name__)}
    ):
        digest.update(_syntax(name).encode())
    for text in [p for p in parts if isinstance(p, str)] + [f"{p}=={version(p)}" for p in packages]:
        digest.update(text.encode())
    return digest.hexdigest()


def module_of(thing: object) -> ModuleType:
    """The module that defines an object's class."""
    module = inspect.getmodule(type(thing))
    assert module is not None
    return module


@cache
def _tree(name: str) -> ast.Module:
    spec = importlib.util.find_spec(name)
    assert spec is not None
    if spec.origin is None:
        return ast.Module(body=[], type_ignores=[])
    with open(spec.origin, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [  # type: ignore[attr-defined]
                s
                for s in body
                if not (
                    isinstance(s, ast.Expr)
                    and isinstance(s.value, ast.Constant)
                    and isinstance(s.value.value, str)
                )
            ]
    return tree


@cache
def _syntax(name: str) -> str:
    return f"{name}:{ast.dump(_tree(name))}"


@cache
def _closure(name: str) -> frozenset[str]:
    seen: set[str] = set()
    todo = [name]
    while todo:
        current = todo.pop()
        if current in seen or importlib.util.find_spec(current) is None:
            continue
        seen.add(current)
        for node in ast.walk(_tree(current)):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"{_PACKAGE}."):
                todo.append(str(node.module))
    return frozenset(seen)
