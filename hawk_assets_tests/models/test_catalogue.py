"""docs/models.md says what the code says."""

from hawk_assets.models import discover
from hawk_assets_tests.models.catalogue import FILE, claim, facts, reference


def test_the_document_has_every_model_as_it_is_now() -> None:
    text = FILE.read_text(encoding="utf-8")
    rows = [tuple(c.strip() for c in line.split("|")[1:5]) for line in text.splitlines()]
    documented = {row for row in rows if len(row) == 4 and row[0] not in ("model", "---")}
    assert documented == {facts(model) for model in discover().values()}, (
        "run: python -m hawk_assets_tests.models.catalogue"
    )
    for model in discover().values():
        assert claim(model) in text
        assert reference(model) in text
