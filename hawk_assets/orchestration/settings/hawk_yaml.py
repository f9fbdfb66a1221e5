"""Settings from ``hawk.yaml``: every value with its line."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS
from hawk_assets.orchestration.settings.entries import (
    Entry,
    holds_password,
    section_entry,
    sections_with,
    show_name,
    suggest,
)
from hawk_assets.orchestration.settings.environment import CONFIG

FILE_NAME = "hawk.yaml"
_TAG = "tag:yaml.org,2002:"
_SCALARS = {_TAG + kind for kind in ("str", "int", "float", "timestamp", "null", "bool")}


def find_file(environment: Mapping[str, str]) -> str | None:
    """The file that HAWK_CONFIG names, else ``hawk.yaml`` in the current folder, if it is there."""
    # A link to nowhere is there, and an error.
    return environment.get(CONFIG) or (FILE_NAME if os.path.lexists(FILE_NAME) else None)


def read_file(name: str) -> dict[str, Entry]:
    """Every setting of a file.

    A value is the text that is written, whatever YAML takes it for: ``06:00`` is a time of day
    here and 360 to YAML.

    :param name: its path, as messages name it
    :raises SettingsError: names file, line and remedy
    """
    try:
        content = Path(name).expanduser().read_bytes()
    except (OSError, RuntimeError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise SettingsError(
            f"{name} cannot be read: {why}. It is the settings file: the one that {CONFIG} names, "
            f"or else {FILE_NAME} in the current folder"
        ) from None
    root = _parse(name, _decode(name, content))
    return dict(_entries(name, root)) if root is not None else {}


def _decode(name: str, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise SettingsError(f"{name}:{line}: the file is not UTF-8; save it as UTF-8") from None


def _parse(name: str, text: str) -> yaml.MappingNode | None:
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SettingsError(
            f"{name}:{line}: a character that YAML does not allow; remove it"
        ) from None
    except yaml.MarkedYAMLError as error:
        raise SettingsError(_explain(name, text, error)) from None
    except RecursionError:
        raise SettingsError(f"{name} is nested too deeply; settings have two levels") from None
    if root is None or (isinstance(root, yaml.ScalarNode) and root.tag == f"{_TAG}null"):
        return None
    if not isinstance(root, yaml.MappingNode):
        raise SettingsError(
            f"{name}:{_line(root)}: {_kind(root)}, where settings have names; write them like "
            "start: 2010-01-01"
        )
    return root


def _explain(name: str, text: str, error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if line <= len(lines := text.splitlines()) and "\t" in lines[line - 1]:
        return f"{name}:{line}: there is a tab; YAML wants spaces, two for each level"
    return (
        f"{name}:{line}: not valid YAML: {error.problem}; correct this line or the one before, and "
        "put a text that begins with *, &, ! or @ in quotes"
    )


def _entries(name: str, root: yaml.MappingNode) -> Iterator[tuple[str, Entry]]:
    for key, node, line in _items(name, root):
        place = f"{name}:{line}"
        if key not in ABOUT:
            raise SettingsError(f"{place}: {show_name(key)} is not a setting; {_remedy(key)}")
        if ABOUT[key].not_in_file:
            raise SettingsError(
                f"{place}: {key} {ABOUT[key].not_in_file}; set {ABOUT[key].variable} in the "
                "environment instead"
            )
        if key not in SECTIONS:
            if text := _text(f"{place}: {key}", node):
                yield key, _refuse_password(key, Entry(text, place, f"{place}: {key}"))
        elif isinstance(node, yaml.MappingNode):
            yield from _section(name, key, node)
        elif node.tag != f"{_TAG}null":
            first = next(iter(SECTIONS[key]))
            raise SettingsError(
                f"{place}: {key} is {_kind(node)}; write its parts below it, indented, like "
                f"{first}: {SECTIONS[key][first].default}"
            )


def _section(name: str, section: str, root: yaml.MappingNode) -> Iterator[tuple[str, Entry]]:
    for key, node, line in _items(name, root):
        full, place = f"{section}.{key}", f"{name}:{line}"
        if key not in SECTIONS[section]:
            remedy = (
                f"it stands on its own, not in {section}"
                if key in ABOUT
                else suggest(key, SECTIONS[section])
            )
            raise SettingsError(f"{place}: {show_name(full)} is not a setting; {remedy}")
        label = f"{place}: {full}"
        yield full, section_entry(section, key, _text(label, node), place, label)


def _items(name: str, root: yaml.MappingNode) -> Iterator[tuple[str, yaml.Node, int]]:
    seen: dict[str, int] = {}
    for key, value in root.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            raise SettingsError(f"{name}:{line}: {_kind(key)} as a name; write a setting's name")
        if key.value in seen:
            raise SettingsError(
                f"{name}:{line}: {show_name(key.value)} is there twice, first on line "
                f"{seen[key.value]}; keep one"
            )
        seen[key.value] = line
        yield key.value, value, line


def _text(label: str, node: yaml.Node) -> str:
    """What is written; empty for nothing."""
    if not isinstance(node, yaml.ScalarNode):
        raise SettingsError(f"{label} is {_kind(node)}; write one value")
    if node.tag not in _SCALARS:
        raise SettingsError(f"{label} has the tag {show_name(node.tag)}; write the value itself")
    if node.tag == f"{_TAG}bool":
        raise SettingsError(
            f"{label}={node.value} is true or false to YAML, which no setting is; write a number, "
            "or put a text in quotes"
        )
    return "" if node.tag == f"{_TAG}null" else str(node.value)


def _refuse_password(key: str, entry: Entry) -> Entry:
    if (ABOUT[key].address and "@" in (entry.text or "")) or holds_password(entry.text or ""):
        raise SettingsError(
            f"{entry.label} holds a user or a password, and hawk.yaml goes into git; set "
            f"{ABOUT[key].variable} in the environment instead"
        )
    return entry


def _remedy(key: str) -> str:
    if there := sections_with(key):
        return f"did you mean {' or '.join(there)}?"
    return suggest(key.lower().removeprefix("hawk_"), ABOUT)


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def _kind(node: yaml.Node) -> str:
    kinds = {yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}
    return kinds.get(type(node), "a single value")
