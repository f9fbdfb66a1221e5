"""Words that this project no longer uses: docs/architecture.md has the ones in their place.

Only words with few other uses are listed, so that plain English does not fail the test.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from hawk_assets_tests.pipelines import REPOSITORY

RETIRED = {
    r"outlooks?": "status",
    r"(?<![\"'`])rungs?(?![\"'`])": "fallback; in quotes it is the old name of a stored column",
    r"ladders?": "fallbacks",
    r"hang(s|ing)? on": "downstream of",
    r"hanging_on": "downstream",
    r"(make|makes|made|making) again": "recompute",
    r"set out to make": "planned",
    r"left out, because of": "skipped: upstream failed",
    r"(slowed|settled|cleaned|polished|filled|lifted)\(": "a verb",
    r"InputsNewer": "UpstreamNewer",
    r"StageRun": "StageResult",
    r"(HAWK_LONG_TESTS|HAWK_CONTAINER_TESTS)": "HAWK_TEST_LONG, HAWK_TEST_CONTAINERS",
}
"""Patterns of words, and what is said in their place."""

FOLDERS = ("docs", "deployments", "hawk_assets", "hawk_assets_tests")
SUFFIXES = {"", ".example", ".md", ".py", ".sql", ".toml", ".txt", ".yaml"}
EXCEPT = {"CHANGELOG.md", "LICENSE", "constraints.txt", Path(__file__).name}


def pages() -> Iterator[Path]:
    files = [f for name in FOLDERS for f in (REPOSITORY / name).rglob("*")]
    for file in (*REPOSITORY.glob("*"), *files):
        if file.is_file() and file.suffix in SUFFIXES and file.name not in EXCEPT:
            yield file


def found(pattern: str, text: str) -> list[str]:
    """The lines with a word; a line's end counts as a space."""
    flat = re.sub(r"\s+(#:? )?", " ", text)
    return [m.group() for m in re.finditer(rf"(?<!\w){pattern}(?!\w)", flat, re.IGNORECASE)]


@pytest.mark.parametrize("pattern", RETIRED)
def test_a_retired_word_is_not_used(pattern: str) -> None:
    used = {str(f.relative_to(REPOSITORY)) for f in pages() if found(pattern, f.read_text())}
    assert not used, f"say: {RETIRED[pattern]}"


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r"hang(s|ing)? on", "what hangs\n    # on it"),
        (r"(make|makes|made|making) again", "it is made\nagain"),
        (r"ladders?", "The Ladder."),
    ],
)
def test_a_word_is_found_over_the_end_of_a_line(pattern: str, text: str) -> None:
    assert pattern in RETIRED
    assert found(pattern, text)


def test_the_old_name_of_a_stored_column_may_be_quoted() -> None:
    (pattern,) = (p for p in RETIRED if "rung" in p)
    assert not found(pattern, '{"rung": "fallback"}')
    assert found(pattern, "the third rung")
