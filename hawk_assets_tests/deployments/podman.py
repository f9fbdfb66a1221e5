"""Containers where there is no Docker: Debian's podman, which speaks Docker's language.

What a registry would give is made of Debian packages instead where there is no registry: the Python
image and the PostgreSQL image. Images and layers stay in one folder, so that a second build is
quick.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from hawk_assets_tests.deployments.images import DOCKERFILE
from hawk_assets_tests.pipelines import REPOSITORY

PROGRAMS = ("podman", "buildah", "runc", "debootstrap", "docker-compose")
PATIENCE_SECONDS = 1800
PYTHON, POSTGRES = "python:3.11-slim-bookworm", "postgres:17-bookworm"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# Beside its own defaults: no systemd, and limits that a container may set within another one.
CONFIGURATION = """
[containers]
default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
[network]
network_config_dir = "{folder}/networks"
"""
STORAGE = """
[storage]
driver = "overlay"
runroot = "{folder}/run"
graphroot = "{folder}/storage"
"""
# What the official image does with its variables, in the words of Debian's package.
POSTGRES_START = """set -e
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" |
    initdb -N -E UTF8 -U "$POSTGRES_USER" -A scram-sha-256 --pwfile /dev/stdin
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE $POSTGRES_DB" | postgres --single postgres
fi
exec postgres -c "listen_addresses=*"
"""
POSTGRES_IMAGE = """FROM {base}
RUN apt-get update && apt-get install -y --no-install-recommends postgresql
ENV PGDATA=/var/lib/postgresql/data
RUN mkdir -p $PGDATA && chown postgres: $PGDATA && ln -s /usr/lib/postgresql/*/bin/* /usr/local/bin/
COPY start.sh /start.sh
USER postgres
CMD ["sh", "/start.sh"]
"""


@dataclass(frozen=True)
class Engine:
    """A running engine.

    :param folder: where it keeps images and containers
    :param socket: where it listens, as Docker would
    """

    folder: Path
    socket: Path

    @property
    def env(self) -> dict[str, str]:
        # Compose prefers these to its file of settings.
        ours = {k: v for k, v in os.environ.items() if not k.startswith("HAWK_")}
        return ours | {
            "CONTAINERS_CONF": str(self.folder / "containers.conf"),
            "CONTAINERS_STORAGE_CONF": str(self.folder / "storage.conf"),
            "DOCKER_HOST": f"unix://{self.socket}",
            "DISABLE_HC_SYSTEMD": "true",
            "COMPOSE_HTTP_TIMEOUT": "600",
        }

    def said(self, *command: str, check: bool = True) -> str:
        """What a program that talks to this engine prints."""
        done = subprocess.run(command, env=self.env, capture_output=True, text=True)
        assert not check or done.returncode == 0, f"{command}:\n{done.stdout}\n{done.stderr}"
        return done.stdout.strip()

    def has(self, image: str) -> bool:
        return bool(self.said("podman", "images", "-q", image))

    def clear(self) -> None:
        """End what compose does not know of: containers of runs, their networks and volumes."""
        self.said("podman", "rm", "--all", "--force", "--time", "0")
        self.said("podman", "network", "prune", "--force")
        self.said("podman", "volume", "prune", "--force")

    def python_image(self) -> str:
        """The image that the Dockerfile builds on, or what Debian has in its place."""
        if self._can_pull(PYTHON):
            return PYTHON
        image = "localhost/hawk/python:bookworm"
        if not self.has(image):
            root = self.folder / "debian"
            packages = "--include=python3,python3-venv,ca-certificates"
            self.said("debootstrap", "--variant=minbase", packages, "bookworm", str(root))
            shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))
            (root / "etc" / "pip.conf").write_text(f"[global]\ncert = {CERTIFICATES}\n")
            archive, change = self.folder / "debian.tar", f"ENV SSL_CERT_FILE={CERTIFICATES}"
            self.said("tar", "-C", str(root), "-cf", str(archive), ".")
            self.said("podman", "import", "--change", change, str(archive), image)
            shutil.rmtree(root)
            archive.unlink()
        return image

    def postgres_image(self, base: str) -> str:
        """The official image, or one that takes the same variables."""
        if self._can_pull(POSTGRES):
            return POSTGRES
        image = "localhost/hawk/postgres:bookworm"
        if not self.has(image):
            with tempfile.TemporaryDirectory() as context:
                Path(context, "start.sh").write_text(POSTGRES_START)
                Path(context, "Dockerfile").write_text(POSTGRES_IMAGE.format(base=base))
                self.said("buildah", "build", "--isolation", "chroot", "-t", image, context)
        return image

    def build(self, extra: str, base: str) -> None:
        """An image of the product, as the Dockerfile says."""
        arguments = ("--build-arg", f"PYTHON_IMAGE={base}", "--build-arg", f"SERVICE={extra}")
        self.said(
            *("buildah", "build", "--isolation", "chroot", *arguments),
            *("-t", f"localhost/hawk/{extra}:latest", "-f", str(DOCKERFILE), str(REPOSITORY)),
        )

    def is_healthy(self) -> bool:
        """Ask every container how it is, all of them, as systemd's timers do elsewhere."""
        names = self.said("podman", "ps", "--format", "{{.Names}}").split()
        checks = [["podman", "healthcheck", "run", name] for name in names]
        done = [subprocess.run(check, env=self.env, capture_output=True) for check in checks]
        return all(check.returncode == 0 for check in done)

    def _can_pull(self, image: str) -> bool:
        pull = ["podman", "pull", "--quiet", f"docker.io/library/{image}"]
        try:
            done = subprocess.run(pull, env=self.env, capture_output=True, timeout=300)
        except subprocess.TimeoutExpired:
            return False
        return done.returncode == 0


@contextmanager
def engine(folder: Path) -> Iterator[Engine]:
    """Podman, with nothing of its own but what is below a folder."""
    missing = [program for program in PROGRAMS if not shutil.which(program)]
    if missing or os.getuid() != 0:
        pytest.skip(f"not root, or not installed: {', '.join(missing)}")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "containers.conf").write_text(CONFIGURATION.format(folder=folder))
    (folder / "storage.conf").write_text(STORAGE.format(folder=folder))
    made = Engine(folder, folder / "engine.sock")
    with open(folder / "engine.log", "wb") as log:
        service = subprocess.Popen(
            ["podman", "system", "service", "--time", "0", f"unix://{made.socket}"],
            env=made.env,
            stdout=log,
            stderr=log,
        )
    try:
        while not made.socket.exists():
            assert service.poll() is None, (folder / "engine.log").read_text()
            time.sleep(0.1)
        made.socket.chmod(0o660)  # as Docker's: for its group
        made.clear()  # of a session that was killed
        try:
            yield made
        finally:
            made.clear()
    finally:
        service.terminate()
        service.wait()
        made.socket.unlink(missing_ok=True)


def compose_up(made: Engine, *command: str) -> None:
    """A command of ``docker-compose`` that waits for one container's health to start the next.

    Returns when it is done and all that is up is healthy.
    """
    with tempfile.TemporaryFile("w+") as output:
        start = subprocess.Popen(command, env=made.env, stdout=output, stderr=output)
        while start.poll() is None:
            made.is_healthy()
            time.sleep(1)
        output.seek(0)
        assert start.returncode == 0, output.read()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not made.is_healthy():
        assert time.monotonic() < deadline, made.said("podman", "ps")
        time.sleep(1)
