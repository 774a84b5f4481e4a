"""From names and values, as people type them, to checked settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.fields import FieldInfo

from rxweave.config import RunSettings, Settings
from rxweave.errors import ConfigError, did_you_mean


def settings_from(named: Mapping[str, object], overrides: Sequence[str] = ()) -> RunSettings:
    """Give run settings from `stage.name` → value (None: leave the default) and `stage.name=value` texts.

    Texts win over names. A list is written with commas. Raises ConfigError for an unknown name (with the closest
    one), a text without "=", or a value that does not fit.
    """
    fields = known_fields()
    values = {name: value for name, value in named.items() if value is not None}
    for text in overrides:
        name, equals, typed = (part.strip() for part in text.partition("="))
        if not equals:
            raise ConfigError(f"{text!r} is not a setting; expected stage.name=value, as in embed.num_epochs=50.")
        values[name] = _typed(typed, fields[name]) if name in fields else typed
    tree: dict[str, Any] = {}
    for full_name, value in values.items():
        if full_name not in fields:
            raise _unknown(full_name, list(fields))
        *stages, field = full_name.split(".")
        branch = tree
        for stage in stages:
            branch = branch.setdefault(stage, {})
        branch[field] = value
    return RunSettings(**tree)


def known_fields(settings: type[Settings] = RunSettings, prefix: str = "") -> dict[str, FieldInfo]:
    """Give every setting by its full name, as in `embed.num_epochs`, in the order of the stages."""
    found: dict[str, FieldInfo] = {}
    for name, field in settings.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Settings):
            found |= known_fields(field.annotation, f"{prefix}{name}.")
        else:
            found[prefix + name] = field
    return found


def _unknown(name: str, names: list[str]) -> ConfigError:
    same_field = [each for each in names if each.rpartition(".")[2] == name]
    hint = f" Closest: {same_field[0]!r}." if same_field else did_you_mean(name, names)
    return ConfigError(f"There is no setting {name!r}.{hint} `rxweave settings` lists them all.")


def _typed(text: str, field: FieldInfo) -> object:
    """A text as the value it stands for; pydantic checks and converts numbers itself."""
    if text.lower() in ("none", "null", ""):
        return None
    return [part.strip() for part in text.split(",")] if "tuple[" in str(field.annotation) else text
