"""What settings of every stage have in common."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from rxweave.errors import ConfigError

_Kind = TypeVar("_Kind", bound="Settings")


class Settings(BaseModel):
    """Settings are values: frozen and checked when made; what does not fit, or has no such name, is a ConfigError."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(_told(error)) from None

    def but(self: _Kind, **values: Any) -> _Kind:
        """Give the same settings with some values changed, and checked."""
        return type(self)(**{**dict(self), **values})


def _told(error: ValidationError) -> str:
    """The first thing wrong, in words; errors of nested settings have been put in words already."""
    first = error.errors()[0]
    cause = first.get("ctx", {}).get("error")
    if isinstance(cause, ConfigError):
        return str(cause)
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name!r} here; `rxweave settings` lists them all."
    told = first["msg"].replace("Input should be", "it must be").removesuffix(".")
    return f"Setting {name} is {first['input']!r}; {told}."
