"""What the Dockerfile copies and installs, read from the Dockerfile itself."""

import re
import shlex
import shutil
from pathlib import Path

from hawk_assets.orchestration.catalog import SERVICES
from hawk_assets_tests.pipelines import REPOSITORY

DOCKER = REPOSITORY / "deployments" / "docker"
DOCKERFILE = DOCKER / "Dockerfile"
EXTRAS = (*SERVICES, "webserver")


def instructions() -> list[str]:
    """The Dockerfile's instructions, one a line, without comments."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    return [i for i in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines() if i]


def copy_sources(folder: Path) -> None:
    """Put into a folder what the build stage copies there, and nothing else."""
    for instruction in instructions():
        command, *paths = shlex.split(instruction)
        if command == "COPY" and not paths[0].startswith("--"):
            *sources, target = paths
            for source in sources:
                if target.startswith("."):
                    shutil.copy(REPOSITORY / source, folder)
                elif source == target:
                    ignore = shutil.ignore_patterns("__pycache__")
                    shutil.copytree(REPOSITORY / source, folder / target, True, ignore)


def install_arguments(extra: str, python: Path, source: Path) -> list[str]:
    """The arguments of the image's ``uv pip install``, for another environment.

    :param python: of the environment
    :param source: what is installed: the folder of the sources, or the wheel made of it
    """
    (line,) = (i for i in instructions() if "uv pip install" in i)
    arguments = shlex.split(line.partition("uv pip install")[2])
    arguments.remove("--compile-bytecode")  # the same packages, sooner
    arguments[arguments.index("--python") + 1] = str(python)
    filled = [re.sub(r"\$\{SERVICE:.*?\}", extra, argument) for argument in arguments]
    return [re.sub(r"^\.\[", f"{source}[", argument) for argument in filled]
