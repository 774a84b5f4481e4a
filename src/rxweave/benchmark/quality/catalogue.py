"""Every method by its name, in the order of the table."""

from __future__ import annotations

from importlib.util import find_spec

from rxweave.benchmark.quality.counting import COUNTING
from rxweave.benchmark.quality.method import Method
from rxweave.benchmark.quality.ours import OURS
from rxweave.benchmark.quality.plain_hgt import PLAIN_HGT
from rxweave.benchmark.quality.regression import REGRESSION
from rxweave.benchmark.quality.triples import TRIPLES
from rxweave.benchmark.quality.walks import WALKS
from rxweave.errors import ConfigError, did_you_mean

METHODS: dict[str, Method] = {
    method.name: method for method in (*OURS, *REGRESSION, *TRIPLES, *WALKS, *PLAIN_HGT, *COUNTING)
}
CHEAP = tuple(method.name for method in COUNTING)
"""Those that take seconds."""


def chosen_methods(text: str) -> tuple[Method, ...]:
    """Give methods by their names, separated by commas; `cheap` stands for those that count, `all` for all.

    Raises ConfigError for an unknown name, none at all, or a method whose package is not installed.
    """
    names: list[str] = []
    for name in (part.strip() for part in text.split(",") if part.strip()):
        names += list(METHODS) if name == "all" else list(CHEAP) if name == "cheap" else [name]
    if not names:
        raise ConfigError(f"--methods names none; choose from {', '.join(METHODS)}, or take cheap or all.")
    for name in names:
        if name not in METHODS:
            raise ConfigError(
                f"Method {name!r} is not known; choose from {', '.join(METHODS)}, or take cheap or all."
                f"{did_you_mean(name, list(METHODS))}"
            )
        package, extra = METHODS[name].package, METHODS[name].extra
        if package is not None and find_spec(package) is None:
            raise ConfigError(
                f"Method {name!r} needs {package}, which is not installed: pip install 'rxweave[{extra}]', or leave "
                "the method out."
            )
    return tuple(METHODS[name] for name in dict.fromkeys(names))
