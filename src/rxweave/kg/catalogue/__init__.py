"""Graphs that can be downloaded: one file each, with its addresses, licence and citation. A new one is one file."""

from __future__ import annotations

import importlib
import pkgutil

from rxweave.errors import ConfigError, did_you_mean
from rxweave.kg.catalogue.source import Source


def source_names() -> list[str]:
    """Give the names of all sources: those of the modules of this package that hold one."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "source")


def source_named(name: str) -> Source:
    """Give a source; raises ConfigError with the closest name for an unknown one."""
    known = source_names()
    if name not in known:
        raise ConfigError(f"There is no source {name!r}; there are {', '.join(known)}.{did_you_mean(name, known)}")
    source = importlib.import_module(f"{__name__}.{name}").SOURCE
    assert isinstance(source, Source)
    return source
