"""The API server of a Kubernetes cluster, for jobs only."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hawk_assets_tests.doubles.faults import Faults, Reply, Request, json_reply, serve


class Jobs:
    """:ivar created: by namespace and name, as they were sent; a test sets a job's ``status``"""

    def __init__(self) -> None:
        self.url, self.faults = "", Faults()
        self.created: dict[tuple[str, str], dict[str, Any]] = {}

    def __call__(self, request: Request) -> Reply:
        apis, batch, v1, namespaces, namespace, jobs, *name = request.parts()
        assert [apis, batch, v1, namespaces, jobs] == ["apis", "batch", "v1", "namespaces", "jobs"]
        if request.method == "POST":
            job = json.loads(request.body)
            self.created[namespace, job["metadata"]["name"]] = job
            return json_reply(job, 201)
        job = self.created.get((namespace, name[0]))
        if job is None:
            return json_reply({"kind": "Status", "status": "Failure", "reason": "NotFound"}, 404)
        return json_reply(job)

    def write_kubeconfig(self, file: Path) -> Path:
        """The address and the credentials, for its clients."""
        named = {"name": "here", "cluster": {"server": self.url}}
        context = {"name": "here", "context": {"cluster": "here", "user": "here"}}
        user = {"name": "here", "user": {"token": "secret"}}
        content = {"clusters": [named], "contexts": [context], "users": [user]}
        file.write_text(json.dumps(content | {"current-context": "here"}))
        return file


@contextmanager
def keeping_jobs() -> Iterator[Jobs]:
    jobs = Jobs()
    with serve(jobs, jobs.faults) as address:
        jobs.url = address
        yield jobs
