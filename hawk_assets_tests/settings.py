"""What is made from the declaration of the settings: their documentation, and deployments' lists.

``python -m hawk_assets_tests.settings`` writes all of it; ``test_settings`` holds it against the
declaration.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, time
from textwrap import wrap
from typing import Any

from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS, Settings
from hawk_assets.orchestration.settings.environment import CONFIG
from hawk_assets_tests.pipelines import REPOSITORY

DEPLOYMENTS = REPOSITORY / "deployments"
DOCUMENT = REPOSITORY / "docs" / "settings.md"
EXAMPLE = REPOSITORY / "docs" / "hawk.yaml"
ENV_EXAMPLE = DEPLOYMENTS / "docker" / ".env.example"
COMPOSE = DEPLOYMENTS / "docker" / "compose.yaml"
INSTANCE = DEPLOYMENTS / "docker" / "dagster.yaml"
VALUES = DEPLOYMENTS / "kubernetes" / "values.yaml"
COMMAND = "python -m hawk_assets_tests.settings"

WHAT = {CONFIG: "a file of settings, see docs/settings.md"} | {
    about.variable: about.what for about in ABOUT.values()
}
"""Every variable, and what it is for."""
SECRETS = {about.variable for about in ABOUT.values() if about.secret}
OF_THE_IMAGE = {"DAGSTER_HOME"}
"""Where Dagster's folder is in a container is for the image to say."""
OF_THE_CHART = {name for name in WHAT if name.startswith("HAWK_POSTGRES_")} | {
    "GOOGLE_APPLICATION_CREDENTIALS"
}
"""What Dagster's chart, or the pods' service account, has in their place."""
OF_DAGSTER = {"DAGSTER_EVENT_BATCH_SIZE": "1000"}
"""Dagster's own settings that a deployment hands on beside ours."""
IN_DOCKER = {
    "HAWK_STORAGE": "/var/lib/hawk/state/storage",
    "HAWK_COMPUTE_LOGS": "/var/lib/hawk/state/logs",
    "HAWK_POSTGRES_HOST": "postgres",
    "HAWK_POSTGRES_PORT": "5432",
    "HAWK_POSTGRES_USER": "hawk",
    "HAWK_POSTGRES_DB": "dagster",
    **OF_DAGSTER,
}
"""What a container has where nobody says otherwise."""
REQUIRED = {"HAWK_POSTGRES_PASSWORD": "set it in deployments/docker/.env"}

HANDED_ON = [name for name in WHAT if name not in OF_THE_IMAGE] + [*OF_DAGSTER]
"""The variables of a container, and of a run's container."""


def document() -> str:
    """docs/settings.md"""
    return "\n".join(
        [
            "# Settings",
            "",
            f"Made by `{COMMAND}`; do not edit it by hand.",
            "",
            "A setting is an environment variable, or a key of `hawk.yaml`; the variable goes",
            "first, then the file, then the default. An empty variable is no variable. `hawk",
            "config` prints every setting, its value and where it comes from.",
            "",
            "`hawk` and `dagster dev` read variables from a file `.env` in the current folder,",
            "one `name=value` a line. For `hawk` the environment goes before that file, and the",
            "file before `hawk.yaml`. Dagster lets the file go first: `hawk dev` refuses to start",
            "when a variable has two values.",
            "",
            "`hawk.yaml` is read from the current folder, or it is the file that `HAWK_CONFIG`",
            "names. It goes into git, so secrets and addresses with a password are refused there.",
            "[hawk.yaml](hawk.yaml) is an example with every key and its default. Relative paths",
            "are relative to the current folder. Unknown names, in the file and in the",
            "environment, are errors that say the nearest known name. Errors about what a setting",
            "names, such as a file that is not there, call it by its variable.",
            "",
            "| variable | key in hawk.yaml | what | default |",
            "|---|---|---|---|",
            *_rows(),
            "",
            "## Sections",
            "",
            "A section is a mapping in the file, and one variable with pairs in the environment:",
            "",
            "```yaml",
            "aggregation:",
            "  cap: 0.3",
            "  family_cap: 0.5",
            "```",
            "",
            "```sh",
            "export HAWK_AGGREGATION='cap=0.3, family_cap=0.5'",
            "```",
            "",
            "A pair in the environment goes before its key in the file; the section's other keys",
            "stay. What a table depends on is in its code version: after a change `hawk status`",
            "says which tables are by older code, and `hawk refresh --stale-code` recomputes them.",
            *(line for section in SECTIONS for line in _section(section)),
            "",
        ]
    )


def _rows() -> Iterator[str]:
    for key, about in ABOUT.items():
        name = f"`{key}`" if not about.not_in_file else "environment only"
        if key in SECTIONS:
            what, default = f"{about.what}: a [section](#{key})", ""
        else:
            value = Settings.model_fields[key].default
            what, default = about.what, about.unset or (f"`{_plain(value)}`" if value else "none")
        yield f"| `{about.variable}` | {name} | {what} | {default} |"


def _section(section: str) -> Iterator[str]:
    yield from ["", f"### {section}", "", f"`{ABOUT[section].variable}`: {ABOUT[section].what}."]
    yield from ["", "| key | what | default |", "|---|---|---|"]
    texts = parameters(section)
    for name, field in SECTIONS[section].items():
        default = "none" if field.default is None else f"`{field.default}`"
        yield f"| `{name}` | {texts[name].replace('``', '`')} | {default} |"


def parameters(section: str) -> Mapping[str, str]:
    """What each key of a section is for, as the docstring of its class says."""
    owner = Settings.model_fields[section].annotation
    text = re.sub(r"\s+", " ", (owner.__doc__ or "") + " :end:")
    return dict(re.findall(r":param (\w+): (.*?)(?= :param | :raises | :end:)", text))


def _plain(value: Any) -> str:
    """As it is written in the file."""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d}"
    return f"{value:%H:%M}" if isinstance(value, time) else str(value)


def example() -> str:
    """docs/hawk.yaml"""
    lines = [
        f"# Every key of hawk.yaml with its default. Made by {COMMAND}.",
        "# Keep what you change; the variables of docs/settings.md go before it.",
    ]
    for key, about in ABOUT.items():
        if about.not_in_file:
            continue
        lines += ["", *_comment(about.what + (f"; default: {about.unset}" * bool(about.unset)))]
        value = Settings.model_fields[key].default
        if key not in SECTIONS:
            lines.append(f"{key}: {_plain(value)}" if value is not None else f"# {key}:")
            continue
        lines.append(f"{key}:")
        for name, field in SECTIONS[key].items():
            lines += _comment(parameters(key)[name], "  ")
            lines.append(f"  {name}: {'none' if field.default is None else field.default}")
    return "\n".join([*lines, ""])


def _comment(text: str, indent: str = "") -> list[str]:
    return wrap(
        text.replace("`", ""), 98, initial_indent=f"{indent}# ", subsequent_indent=f"{indent}# "
    )


def env_example() -> list[str]:
    """The entries of deployments/docker/.env.example."""
    return [
        line
        for name in HANDED_ON
        for line in [
            *_comment(WHAT.get(name, "Dagster's: events it writes at once")),
            f"{name}={IN_DOCKER.get(name, '')}",
        ]
    ]


def compose() -> list[str]:
    """The environment of every container of compose.yaml."""

    def value(name: str) -> str:
        if name in REQUIRED:
            return f"${{{name}:?{REQUIRED[name]}}}"
        return f"${{{name}:-{IN_DOCKER.get(name, '')}}}"

    return [f"  {name}: {value(name)}" for name in HANDED_ON]


def env_vars() -> list[str]:
    """What the run launcher of dagster.yaml hands on."""
    return [f"      - {name}" for name in HANDED_ON]


def settings_of_the_cluster() -> list[str]:
    """The ConfigMap of values.yaml; values that are there stay."""
    there = dict.fromkeys(HANDED_ON, '""')
    there |= re.findall(r"^      ([A-Z_]+): (.+)$", VALUES.read_text(), re.M)
    names = [n for n in HANDED_ON if n not in SECRETS | OF_THE_CHART]
    return [f"      {name}: {there[name]}" for name in names]


BLOCKS: Mapping[Any, Callable[[], list[str]]] = {
    ENV_EXAMPLE: env_example,
    COMPOSE: compose,
    INSTANCE: env_vars,
    VALUES: settings_of_the_cluster,
}
"""Files of which a part is made from the declaration: the lines between two marks."""
_BLOCK = re.compile(
    r"(?P<begin>^ *# settings, made by [^\n]*\n)(?P<lines>.*?)(?P<end>^ *# end of settings\n)",
    re.M | re.S,
)


def with_block(text: str, lines: list[str]) -> str:
    """A file with other lines between its two marks."""
    content = "".join(f"{line}\n" for line in lines)
    found, count = _BLOCK.subn(lambda m: m["begin"] + content + m["end"], text)
    assert count == 1
    return found


def main() -> None:
    DOCUMENT.write_text(document())
    EXAMPLE.write_text(example())
    for file, lines in BLOCKS.items():
        file.write_text(with_block(file.read_text(), lines()))


if __name__ == "__main__":
    main()
