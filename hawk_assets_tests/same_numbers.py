"""Proves that a change moves no number, and lets stored tables keep their code versions.

    python -m hawk_assets_tests.same_numbers BASE [--prices FILE] [--write]

BASE is a commit. Its code backfills the sample market, or FILE, into an empty folder. The code of
this checkout then recomputes one stage after the other, each from what BASE has stored, and every
file is compared: equal in every bit, but for what hawk-backtester computes, which differs from one
run to the next by rounding, and is compared to 1e-9.

With ``--write`` and no difference, ``code_versions.json`` is written anew: tables computed by BASE
count as computed by this code, with the default settings and with each objective.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hawk_assets.aggregation.parameters import OBJECTIVES
from hawk_assets.core.schemas import RENAMED_COLUMNS
from hawk_assets.orchestration.code_version import KNOWN_AS

HERE = Path(__file__).parents[1]
STEPS = {
    "market_data": ["market_data", "commitments_of_traders"],
    "model_states": ["model_states"],
    "insights": ["insights"],
    "performance_timeseries": ["performance_timeseries"],
    "performance_metrics": ["performance_metrics"],
    "weights": ["weights"],
    "combined_insights": ["combined_insights", "attribution"],
    "combined_performance": ["combined_performance"],
    "combined_metrics": ["combined_metrics"],
}
"""What is recomputed at a time, and the folders that are compared then."""

SIMULATED = ("performance_timeseries", "combined_performance")
TOLERANCE = 1e-9
VERSIONS = """
import json
from hawk_assets.orchestration.build import build_pipeline
pipeline = build_pipeline()
tables = getattr(pipeline, "catalog", None) or pipeline.outputs
print(json.dumps({"/".join(key): table.code_version() for key, table in tables.items()}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("base", help="a commit")
    parser.add_argument("--prices", help="a file of prices; default: the sample market")
    parser.add_argument("--start", help="first month, YYYY-MM-01")
    parser.add_argument("--end", default="2025-12-01", help="last month; default: %(default)s")
    parser.add_argument("--write", action="store_true", help="write code_versions.json")
    chosen = parser.parse_args()
    with TemporaryDirectory(prefix="same_numbers_") as name:
        folder, tree = Path(name), Path(name, "tree")
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run([*git, "add", "--quiet", "--detach", str(tree), chosen.base], check=True)
        try:
            settings = {
                "HAWK_STORAGE": str(folder / "storage"),
                "DAGSTER_HOME": str(folder / "dagster"),
                "HAWK_SOLVER": "clarabel",
                "HAWK_END": chosen.end,
                **({"HAWK_MARKET_DATA": os.path.abspath(chosen.prices)} if chosen.prices else {}),
                **({"HAWK_START": chosen.start} if chosen.start else {}),
            }
            hawk(tree, settings, folder, "backfill")
            faults = list(compare_stages(settings, folder))
            pairs = same_versions(tree, settings, folder) if not faults else {}
        finally:
            subprocess.run([*git, "remove", "--force", str(tree)], check=True)
    for fault in faults:
        click.echo(fault)
    if faults:
        sys.exit(1)
    click.echo("every table is the same")
    if chosen.write:
        KNOWN_AS.write_text(json.dumps(pairs, indent=1, sort_keys=True) + "\n")
        click.echo(f"wrote {KNOWN_AS.relative_to(HERE)}: {len(pairs)} versions")


def python(tree: Path, settings: Mapping[str, str], folder: Path, *arguments: str) -> str:
    """Runs Python on the code of ``tree``; only these settings reach it."""
    plain = {k: v for k, v in os.environ.items() if not k.startswith(("HAWK_", "DAGSTER_"))}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={**plain, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(tree), **settings},
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def hawk(tree: Path, settings: Mapping[str, str], folder: Path, *arguments: str) -> None:
    said = python(tree, settings, folder, "-m", "hawk_assets.cli", *arguments)
    click.echo(said, nl=False)


def compare_stages(settings: Mapping[str, str], folder: Path) -> Iterator[str]:
    """What differs when this code recomputes each table from those of the base."""
    stored, base = Path(settings["HAWK_STORAGE"]), folder / "base"
    shutil.copytree(stored, base)
    for table, folders in STEPS.items():
        hawk(HERE, settings, folder, "backfill", "--select", table)
        yield from compare_tables(base, stored, folders)
        shutil.rmtree(stored)
        shutil.copytree(base, stored)


def compare_tables(base: Path, now: Path, folders: Sequence[str]) -> Iterator[str]:
    """What differs between two storages: a line for each file."""
    files = {
        side: {f.relative_to(side) for name in folders for f in (side / name).rglob("*.parquet")}
        for side in (base, now)
    }
    yield from (f"{file}: in one storage only" for file in sorted(files[base] ^ files[now]))
    for file in sorted(files[base] & files[now]):
        if (base / file).read_bytes() != (now / file).read_bytes():
            old, new = (pq.read_table(side / file) for side in (base, now))
            renamed = RENAMED_COLUMNS.get(file.parts[0], {})
            old = old.rename_columns([renamed.get(c, c) for c in old.column_names])
            tolerance = TOLERANCE if file.parts[0] in SIMULATED else 0.0
            if old.schema != new.schema or old.num_rows != new.num_rows:
                yield f"{file}: other columns, types or rows"
            elif bad := [c for c in old.column_names if not equal(old[c], new[c], tolerance)]:
                yield f"{file}: {', '.join(bad)} differ"


def equal(old: pa.ChunkedArray, new: pa.ChunkedArray, tolerance: float) -> bool:
    if pa.types.is_map(old.type):
        rows = zip(old.to_pylist(), new.to_pylist(), strict=True)
        return all(equal_entries(dict(a), dict(b), tolerance) for a, b in rows)
    if pa.types.is_floating(old.type):
        a, b = (side.to_numpy() for side in (old, new))
        if tolerance:
            return np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)
        return bool((a.view(np.int64) == b.view(np.int64)).all())
    return bool(pc.all(pc.equal(old, new), min_count=0).as_py())


def equal_entries(old: Mapping[str, Any], new: Mapping[str, Any], tolerance: float) -> bool:
    """Whether two maps, of numbers or of lists of them, agree to a fraction of their sum."""
    numbers = [{k: np.atleast_1d(v) for k, v in side.items()} for side in (old, new)]
    within = tolerance * max(sum(np.nansum(np.abs(v)) for v in numbers[0].values()), 1.0)
    return numbers[0].keys() == numbers[1].keys() and all(
        len(v) == len(numbers[1][k])
        and np.allclose(v, numbers[1][k], rtol=0, atol=within, equal_nan=True)
        for k, v in numbers[0].items()
    )


def same_versions(tree: Path, settings: Mapping[str, str], folder: Path) -> dict[str, str]:
    """The version of the base for each version of this code that differs from it."""
    pairs: dict[str, str] = {}
    for objective in OBJECTIVES:
        chosen = {**settings, "HAWK_OBJECTIVE": objective}
        old, new = (
            json.loads(python(code, chosen, folder, "-c", VERSIONS)) for code in (tree, HERE)
        )
        pairs |= {new[key]: old[key] for key in old.keys() & new.keys() if new[key] != old[key]}
    return pairs


if __name__ == "__main__":
    main()
