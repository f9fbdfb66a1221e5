"""The version of the code behind a number: what changes it, and what does not."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hawk_assets.models import discover
from hawk_assets.orchestration import code_version as versions
from hawk_assets.orchestration.code_version import code_version, module_of

FILES = {
    "desk/__init__.py": "",
    "desk/models/__init__.py": '"""Models."""\n',
    "desk/models/cross.py": '''"""A model."""

from desk import features
from desk.models.base import Model
import desk.core.dates
from .sizing import cap


class Cross(Model):
    """Crosses."""

    fast: int = 12

    def signal(self, x):
        """Its opinion."""
        from desk.late import shrink  # on demand

        # the spread
        return cap(shrink(features.ema(x) - self.fast))
''',
    "desk/models/base.py": "class Model:\n    pass\n",
    "desk/models/sizing.py": "def cap(x):\n    return min(x, 1)\n",
    "desk/models/other.py": "from desk.models.cross import Cross\n\nFAST = Cross.fast\n",
    "desk/core/dates.py": "WEEK = 5\n",
    "desk/features/__init__.py": "from desk.features.smooth import ema\n",
    "desk/features/smooth.py": "import math\n\n\ndef ema(x):\n    return math.exp(x)\n",
    "desk/late.py": "def shrink(x):\n    return x / 2\n",
}
"""A package that imports in every way there is."""


@pytest.fixture
def version_with(tmp_path: Path) -> Callable[..., str]:
    """The version of ``desk.models.cross`` in a fresh process, with one text replaced."""
    script = (
        "from importlib import import_module\n"
        "from hawk_assets.orchestration.code_version import code_version\n"
        "print(code_version(import_module('desk.models.cross'), 'fast=12'))\n"
    )

    def version(file: str = "", old: str = "", new: str = "") -> str:
        for name, text in FILES.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            assert name != file or old in text
            path.write_text(text.replace(old, new, 1) if name == file else text)
        return subprocess.run(
            [sys.executable, "-B", "-c", script],
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    return version


def test_comments_docstrings_and_layout_do_not_change_it(version_with: Callable[..., str]) -> None:
    cross, before = "desk/models/cross.py", version_with()
    assert len(before.strip()) == 12
    assert version_with(cross, '"""A model."""', '"""Another wording."""') == before
    assert version_with(cross, '"""Its opinion."""', '"""Its view."""\n        "Of old."') == before
    assert version_with(cross, "# the spread", "# fast minus slow") == before
    assert version_with(cross, "fast: int = 12", "fast: int = (\n        12\n    )\n") == before
    assert version_with("desk/models/other.py", "Cross.fast", "2 * Cross.fast") == before


def test_an_edit_of_the_code_or_of_anything_it_imports_changes_it(
    version_with: Callable[..., str],
) -> None:
    edits = [
        ("desk/models/cross.py", "- self.fast", "+ self.fast"),
        ("desk/models/base.py", "pass", "slow = 26"),
        ("desk/models/sizing.py", "min", "max"),
        ("desk/core/dates.py", "5", "7"),
        ("desk/features/__init__.py", "import ema", "import ema as ema"),
        ("desk/features/smooth.py", "math.exp", "math.log"),
        ("desk/late.py", "x / 2", "x / 3"),
    ]
    found = {version_with(), *(version_with(*edit) for edit in edits)}
    assert len(found) == 1 + len(edits)


def test_a_module_that_is_moved_or_renamed_keeps_it(
    version_with: Callable[..., str], tmp_path: Path
) -> None:
    before = version_with()
    cross = FILES["desk/models/cross.py"]
    try:
        FILES["desk/sizing/caps.py"] = FILES.pop("desk/models/sizing.py")
        FILES["desk/models/cross.py"] = cross.replace(
            "from .sizing import cap", "from desk.sizing.caps import cap"
        )
        (tmp_path / "desk/models/sizing.py").unlink()
        assert version_with() == before
        assert version_with("desk/sizing/caps.py", "min", "max") != before
    finally:
        FILES["desk/models/sizing.py"] = FILES.pop("desk/sizing/caps.py")
        FILES["desk/models/cross.py"] = cross


def test_a_name_that_comes_from_another_module_changes_it(
    version_with: Callable[..., str],
) -> None:
    edit = ("desk/models/cross.py", "from desk.late import shrink", "from desk.other import shrink")
    FILES["desk/other.py"] = "def shrink(x):\n    return x / 4\n"
    FILES["desk/late.py"] += "import desk.other\n"
    try:
        assert version_with() != version_with(*edit)
    finally:
        del FILES["desk/other.py"]
        FILES["desk/late.py"] = FILES["desk/late.py"].removesuffix("import desk.other\n")


def test_parameters_and_package_versions_change_it() -> None:
    model = module_of(next(iter(discover().values())))
    found = {
        code_version(model),
        code_version(model, "EmaCross(fast=12)"),
        code_version(model, "EmaCross(fast=13)"),
        code_version(model, packages=("numpy",)),
        code_version(model, packages=("pandas",)),
    }
    assert len(found) == 5
    assert code_version(model, "x", packages=("numpy",)) == code_version(
        model, "x", packages=("numpy",)
    )


@pytest.mark.parametrize(
    "name", ["hawk_assets.model_states.builder", "hawk_assets.insights.builder"]
)
def test_every_module_of_ours_that_is_loaded_with_it_is_behind_its_version(name: str) -> None:
    script = (
        f"import sys, {name}\n"
        "print(*(n for n, m in sys.modules.items() if n.startswith('hawk_') and m.__file__ "
        "and not m.__file__.endswith('__init__.py')))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout.split()
    assert name in loaded
    assert len(loaded) > 2
    assert set(loaded) <= versions._closure(name)


def test_code_proven_to_compute_the_same_is_known_by_its_former_version(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    model = module_of(next(iter(discover().values())))
    one, other = code_version(model, "one"), code_version(model, "other")
    file = tmp_path / "code_versions.json"
    file.write_text(json.dumps({one: "0123456789ab"}))
    monkeypatch.setattr(versions, "KNOWN_AS", file)
    versions._known_as.cache_clear()
    try:
        assert code_version(model, "one") == "0123456789ab"
        assert code_version(model, "other") == other
    finally:
        versions._known_as.cache_clear()
