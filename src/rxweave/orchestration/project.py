"""Settings of a Dagster run: the very ones of the command line (`config/`), each optional, choices as menus."""

from __future__ import annotations

from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Optional, Union, get_args, get_origin

import dagster as dg
from pydantic import Field, create_model
from pydantic.fields import FieldInfo

from rxweave.config import RunSettings, Settings
from rxweave.orchestration.graphs import DEMO, folder_name, source_of

OUT = "data/dagster"


class Project(dg.ConfigurableResource):  # type: ignore[type-arg]
    """Where things lie, and the settings that were given; `project_resource` adds a field for each setting."""

    out: str = Field(OUT, description="Folder with a folder for each graph, laid out as `rxweave run` does.")
    resume: Optional[bool] = Field(  # noqa: UP045 (Dagster reads no other form)
        None,
        description="True insists on going on from the checkpoint of a stopped training, False starts anew; unset goes "
        "on if it is of this very training.",
    )

    def settings(self, partition: str | None) -> RunSettings:
        """Give the settings of a run; a partition decides which graph is loaded. Raises ConfigError as the CLI does."""
        given = _given(self, without=("out", "resume"))
        if partition is not None:
            given["load"] = {**given.get("load", {}), "kg": source_of(partition)}
        return RunSettings(**given)

    def folder(self, partition: str | None) -> Path:
        """Give the folder of a graph."""
        return Path(self.out) / folder_name(partition or self.settings(None).load.kg or DEMO)


def project_resource() -> Project:
    """Give the resource with every setting of `rxweave settings` as configuration, none of them required."""
    kind = create_model("RxweaveSettings", __base__=Project, **_fields(RunSettings))
    return kind(out=OUT, resume=None)


def _fields(settings: type[Settings]) -> dict[str, Any]:
    return {name: _field(settings.__name__, name, field) for name, field in settings.model_fields.items()}


def _field(owner: str, name: str, field: FieldInfo) -> tuple[Any, Any]:
    annotation = field.annotation
    if isinstance(annotation, type) and issubclass(annotation, Settings):
        part = create_model(annotation.__name__, __base__=dg.Config, **_fields(annotation))
        return part, part()
    default = "unset" if field.default is None else field.default
    told = f"{field.description} Default: {default}."
    return Optional[_plain(owner, name, annotation)], Field(None, description=told)  # noqa: UP045


def _plain(owner: str, name: str, annotation: Any) -> Any:
    """The type as Dagster's configuration knows it: menus for literals, lists for tuples."""
    if get_origin(annotation) in (Union, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    if get_origin(annotation) is Literal:
        return Enum(f"{owner}_{name}", {choice: choice for choice in get_args(annotation)})
    if get_origin(annotation) is tuple:
        return list[get_args(annotation)[0]]  # type: ignore[misc]
    return annotation


def _given(config: dg.Config | Project, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values that were given, as a tree of plain values."""
    tree: dict[str, Any] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in without or value is None:
            continue
        if isinstance(value, dg.Config):
            value = _given(value)
            if not value:
                continue
        tree[name] = value.value if isinstance(value, Enum) else value
    return tree
