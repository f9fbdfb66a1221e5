"""The key of a run that a sensor requests: one key is one run, however often it is requested."""

from hashlib import blake2b


def run_key(what: str, identity: str) -> str:
    """A key that is short, because PostgreSQL indexes it.

    :param what: what the run is for, for people
    :param identity: a text of any length that is the same exactly for the same request
    """
    return f"{what}: {blake2b(identity.encode(), digest_size=16).hexdigest()}"
