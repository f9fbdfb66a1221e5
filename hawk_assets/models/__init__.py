"""One file per trading model. This package only discovers them: nothing else is edited for one."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping
from functools import cache

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import TradingModel


def registry(modules: Iterable[tuple[str, Iterable[TradingModel]]]) -> dict[str, TradingModel]:
    """The models of several files by name, sorted.

    :param modules: module name and its ``MODELS``
    :raises ModelError: two models with one name
    """
    found: dict[str, tuple[str, TradingModel]] = {}
    for module, models in modules:
        for model in models:
            if model.name in found:
                raise ModelError(
                    f"two models are called {model.name!r}: {found[model.name][0]} and {module}; "
                    "derive the name from the parameters that differ"
                )
            found[model.name] = (module, model)
    return {name: model for name, (_, model) in sorted(found.items())}


@cache
def discover() -> Mapping[str, TradingModel]:
    """Every registered model by name. A file that does not import stops the caller with its error.

    :raises ModelError: a file without ``MODELS``, one that fails to import, or two equal names
    """
    modules = []
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        try:
            module = importlib.import_module(info.name)
            modules.append((info.name, module.MODELS))
        except Exception as error:
            raise ModelError(f"model file {info.name} cannot be loaded: {error!r}") from error
    return registry(modules)
