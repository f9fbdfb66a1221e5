"""What the Dockerfile copies and installs, read from the Dockerfile itself."""

import re
import shlex
import shutil
from pathlib import Path

from hawk_assets.orchestration.plan import SERVICES
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
                    shutil.copytree(REPOSITORY / source, folder / target, ignore=ignore)


def install_arguments(extra: str, source: str) -> list[str]:
    """The arguments of the image's ``pip install``, with the sources at another place.

    :param source: what stands for ``.``: a folder or a wheel
    """
    (line,) = (i for i in instructions() if "pip install" in i)
    arguments = shlex.split(line.partition("pip install")[2])
    arguments.remove("--disable-pip-version-check")  # of pip alone
    filled = [re.sub(r"\$\{SERVICE:.*?\}", extra, argument) for argument in arguments]
    return [re.sub(r"^\.\[", f"{source}[", argument) for argument in filled]
