"""The registered models."""

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hawk_assets.printing.console import new_table, out

if TYPE_CHECKING:
    from hawk_assets.core.model import TradingModel


def model_records(models: "Mapping[str, TradingModel]") -> list[dict[str, Any]]:
    """Name, class, parameters, memory and claim of each model, as plain values."""
    return [
        {
            "model": name,
            "class": type(model).__name__,
            "parameters": repr(model),
            "inputs": list(model.inputs),
            "warmup": model.warmup,
            "lookback": model.lookback,
            "claim": (sys.modules[type(model).__module__].__doc__ or "").split("\n")[0],
        }
        for name, model in models.items()
    ]


def print_models(records: Sequence[Mapping[str, Any]]) -> None:
    """:param records: as ``model_records`` returns them"""
    table = new_table("model", "warmup", "lookback", "claim", left=("model", "claim"))
    for r in records:
        table.add_row(r["model"], f"{r['warmup']} bars", f"{r['lookback']} sessions", r["claim"])
    out.print(table)
