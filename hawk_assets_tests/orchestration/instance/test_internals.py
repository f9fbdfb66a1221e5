"""Every private name of Dagster that the package relies on, with its signature, as a list.

The list is committed: an upgrade of Dagster that moves or changes one of them shows as a difference
here, before it shows as a failure at night. To accept a difference, after reading it:
python -m hawk_assets_tests.orchestration.instance.test_internals
"""

import ast
import inspect
import re
from collections.abc import Iterator
from enum import EnumMeta
from functools import cache
from importlib import import_module
from pathlib import Path

import dagster as dg
from dagster._core.execution.context.system import StepExecutionContext
from dagster._core.storage.event_log.sql_event_log import SqlEventLogStorage
from dagster._record import get_record_annotations, is_record

import hawk_assets
from hawk_assets.orchestration import instance

ROOT = Path(hawk_assets.__file__).parent
MODULES = {file: file.stem for file in Path(instance.__file__).parent.glob("[a-z]*.py")}
LIST = Path(__file__).with_name("private_names.txt")
CALLED = {"DagsterEvent.from_step": dg.DagsterEvent.from_step}
"""Functions without an underscore that Dagster does not document."""
USED_FROM_OUTSIDE = (SqlEventLogStorage, StepExecutionContext)
"""Classes whose private attributes are used on their objects, not by a subclass."""


def trees() -> Iterator[ast.Module]:
    return (ast.parse(file.read_text()) for file in sorted(MODULES))


def imported(tree: ast.AST) -> Iterator[str]:
    """The private names that a module imports, and the private modules that it names in a text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and is_private(str(node.module)):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if is_private(alias.name))
        elif isinstance(node, ast.Constant) and re.fullmatch(r"dagster\._[\w.]+", str(node.value)):
            yield str(node.value)


def is_private(module: str) -> bool:
    return module.startswith("dagster._")


@cache
def own_classes() -> list[type]:
    """The classes of instance/ that extend Dagster's."""
    found = []
    for name in MODULES.values():
        module = import_module(f"{instance.__name__}.{name}")
        for value in vars(module).values():
            if isinstance(value, type) and value.__module__ == module.__name__:
                found += [value] if any(map(is_dagsters, value.__mro__)) else []
    return found


def is_dagsters(cls: type) -> bool:
    return cls.__module__.startswith("dagster")


def signature_of(value: object) -> str:
    """The names of the parameters; ``=`` after those that may be left out."""
    value = getattr(value, "__func__", value)
    if isinstance(value, EnumMeta) or not callable(value):
        return ""
    if isinstance(value, type) and issubclass(value, Exception):
        return ""
    if isinstance(value, type) and is_record(value):
        return f"({', '.join(get_record_annotations(value))})"
    marks = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    shown = [
        f"{marks.get(p.kind, '')}{p.name}{'=' * (p.default is not p.empty)}"
        for p in inspect.signature(value).parameters.values()
    ]
    return f"({', '.join(shown)})"


def lines() -> list[str]:
    found = {f"dagster.{name}{signature_of(value)}" for name, value in CALLED.items()}
    for tree in trees():
        for name in imported(tree):
            module, _, last = name.rpartition(".")
            try:
                value = getattr(import_module(module), last)
            except AttributeError:
                value = import_module(name)
            found.add(f"{name}{signature_of(value)}")
    for name in private_attributes():
        for owner in owners(name):
            found.add(described(owner, name))
    for cls in own_classes():
        for own in (c for c in cls.__mro__ if c.__module__.startswith(hawk_assets.__name__)):
            for name in vars(own):
                base = next((c for c in cls.__mro__ if is_dagsters(c) and name in vars(c)), None)
                if (
                    base
                    and (not name.startswith("__") or name == "__init__")
                    and name != "_abc_impl"
                ):
                    found.add(described(base, name))
    return sorted(found)


def private_attributes() -> set[str]:
    """The private attributes, read or written, that are no functions of this package."""
    return {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match("_[a-z]", node.attr)
    } - {
        node.name
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
    }


def owners(name: str) -> list[type]:
    """Dagster's classes that define or assign an attribute, of each family the nearest one."""
    families = [cls.__mro__ for cls in (*own_classes(), *USED_FROM_OUTSIDE)]
    nearest = (
        next((c for c in mro if is_dagsters(c) and defines(c, name)), None) for mro in families
    )
    return [owner for owner in nearest if owner]


def defines(cls: type, name: str) -> bool:
    source = _source(cls)
    return name in vars(cls) or bool(re.search(rf"\bself\.{name}\b(: [^=\n]+)? = ", source))


@cache
def _source(cls: type) -> str:
    return inspect.getsource(cls)


def described(owner: type, name: str) -> str:
    value = inspect.getattr_static(owner, name, None)
    return f"{owner.__module__}.{owner.__name__}.{name}{signature_of(value)}"


def test_the_private_names_of_dagster_are_where_and_what_they_were() -> None:
    assert lines() == LIST.read_text().splitlines()


def test_every_private_attribute_is_ours_or_dagsters() -> None:
    ours = {
        node.attr
        for tree in trees()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    }
    unknown = {name for name in private_attributes() - ours if not owners(name)}
    assert unknown == set()


def test_only_instance_touches_dagsters_private_modules() -> None:
    elsewhere = {
        str(file.relative_to(ROOT)): names
        for file in ROOT.rglob("*.py")
        if file not in MODULES and (names := list(imported(ast.parse(file.read_text()))))
    }
    assert elsewhere == {}


if __name__ == "__main__":
    LIST.write_text("\n".join(lines()) + "\n")
