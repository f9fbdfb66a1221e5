"""Whatever is written, settings are read or refused in one line: no other error, no secret.

HAWK_TEST_FUZZ is how many inputs each test tries.
"""

import os
from pathlib import Path

import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from hawk_assets.core.errors import SettingsError
from hawk_assets.orchestration.settings import Settings, load_settings
from hawk_assets.orchestration.settings.declaration import ABOUT, SECTIONS

HUSH = "hush-hush"
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = st.one_of(
    TEXT,
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    st.sampled_from(
        ["2010-01-01", "0.3", "5", "hrp", "clarabel", "06:00", "http://host:1", "none"]
    ),
)
SECTION_KEYS = sorted({key for keys in SECTIONS.values() for key in keys})
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(SECTION_KEYS), TEXT), inner, max_size=3),
    ),
    max_leaves=6,
)
FILES = st.dictionaries(st.one_of(st.sampled_from([*ABOUT]), TEXT), VALUES, max_size=5)
NAMES = st.one_of(
    st.sampled_from([about.variable for about in ABOUT.values()]), TEXT.map("HAWK_".__add__)
)
PAIRS = st.builds("{}={}".format, st.sampled_from(SECTION_KEYS), SCALARS)
ENVIRONMENTS = st.dictionaries(NAMES, st.one_of(TEXT, SCALARS.map(str), PAIRS), max_size=5)
FREQUENTLY = settings(
    max_examples=int(os.environ.get("HAWK_TEST_FUZZ", "300")),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def read(content: bytes | None = None, **environment: str) -> None:
    """Settings, or an error of ours that is one line and without the secret."""
    if content is not None:
        Path("hawk.yaml").write_bytes(content)
    says = ""
    try:
        assert isinstance(load_settings(environment), Settings)
    except SettingsError as error:
        says = str(error)
    assert len(says.splitlines()) <= 1
    assert HUSH not in says


@FREQUENTLY
@given(st.one_of(st.binary(max_size=60), TEXT.map(str.encode)))
@example(b"")
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    read(content)


@FREQUENTLY
@given(FILES)
def test_any_file_is_read_or_refused(values: dict[str, object]) -> None:
    read(yaml.safe_dump(values, allow_unicode=True).encode())


@FREQUENTLY
@given(ENVIRONMENTS)
def test_any_environment_is_read_or_refused(environment: dict[str, str]) -> None:
    read(**environment)


@FREQUENTLY
@given(TEXT, st.sampled_from([key for key, about in ABOUT.items() if about.secret]), st.booleans())
def test_no_secret_is_repeated(text: str, key: str, in_file: bool) -> None:
    value = f"{text}{HUSH}{text}"
    if in_file:
        read(yaml.safe_dump({key: value}).encode())
    else:
        Path("hawk.yaml").unlink(missing_ok=True)
        read(**{ABOUT[key].variable: value, "HAWK_SOLVER": "cplex"})
