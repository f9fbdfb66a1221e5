"""One file per trading model. The package discovers them: a new model needs no other edit."""

import importlib
import pkgutil
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from types import ModuleType

from hawk_assets.core.errors import ModelError
from hawk_assets.core.model import TradingModel


def registry(modules: Iterable[tuple[str, Iterable[TradingModel]]]) -> dict[str, TradingModel]:
    """The models of several files by name, sorted.

    :param modules: the name of each module and its ``MODELS``
    :raises ModelError: two models have the same name
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
    """Every registered model by name.

    A file that cannot be imported raises: a model must not disappear without notice.

    :raises ModelError: a file fails to import or has no tuple of models as its ``MODELS``,
        or two names are equal
    """
    modules = []
    for info in pkgutil.iter_modules(__path__, prefix=f"{__name__}."):
        try:
            module = importlib.import_module(info.name)
        except Exception as error:
            raise ModelError(f"model file {info.name} cannot be loaded: {error!r}") from error
        modules.append((info.name, _models_of(module)))
    return registry(modules)


def _models_of(module: ModuleType) -> Sequence[TradingModel]:
    models = getattr(module, "MODELS", None)
    if isinstance(models, tuple | list) and all(isinstance(m, TradingModel) for m in models):
        return models
    found = "has no MODELS" if models is None else f"has MODELS = {models!r}, no tuple of models"
    raise ModelError(
        f"model file {module.__name__} {found}; end it with MODELS = (MyModel(),), with the comma"
    )
