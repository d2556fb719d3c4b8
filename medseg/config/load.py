"""Run configurations, rules and de-identification profiles from YAML files, with dotted overrides, and back."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from medseg.core.errors import ConfigError

from .card import OwnerSection
from .deid import DeidProfile
from .plain_yaml import TooManyValuesError, plain_yaml
from .review import ReviewConfig
from .section import Section
from .sections import RunConfig
from .selection import SelectionSection

_LARGEST_FILE = 1_000_000
_SHOWN = reprlib.Repr()
_SHOWN.maxstring = _SHOWN.maxother = 200
_SHOWN.maxlevel = 2
_PROFILES = files(__package__).joinpath("profiles")
_Model = TypeVar("_Model", bound=BaseModel)


def load_config(path: Path, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a YAML file, with overrides such as ``training.optimizer.lr=0.003``.

    Raises:
        ConfigError: If the file is missing, no YAML, or says something that the tree does not allow.
    """
    return parse_config(_read(path, "configuration"), path.name, overrides)


def parse_config(text: str, source: str, overrides: Iterable[str] = ()) -> RunConfig:
    """The configuration in a YAML text; ``source`` names it in errors."""
    tree = _tree(text, source, f"configuration; `medseg plan DATASET -o {source}` writes one")
    for override in overrides:
        _override(tree, override)
    return _validated(tree, RunConfig, source)


def dump_config(config: RunConfig) -> str:
    """The configuration as YAML, complete and in the order of the tree."""
    tree = config.model_dump(mode="json", exclude_none=True)
    return yaml.dump(tree, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)


def load_selection(path: Path) -> SelectionSection:
    """Rules for choosing series from a YAML file, in the form of the section ``selection`` of a configuration.

    Raises:
        ConfigError: If the file is missing, no YAML, or says something that the section does not allow.
    """
    tree = _tree(_read(path, "rules"), path.name, "rules; write for example `channels: {CT: {plane: axial}}`")
    return _validated(tree, SelectionSection, path.name)


def load_owner(path: Path, overrides: Iterable[str] = ()) -> OwnerSection:
    """What the owner says of a model in a ``card.yaml``, with overrides such as ``license=CC-BY-4.0``.

    An override is taken as text, whatever it looks like. Without a file all is empty but what the overrides say.

    Raises:
        ConfigError: If the file is no YAML, or it or an override says something that a card does not have.
    """
    tree = _tree(_read(path, "card"), path.name, "card; write for example `owner: ...`") if path.exists() else {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals or key not in OwnerSection.model_fields:
            known = ", ".join(OwnerSection.model_fields)
            raise ConfigError(f"{override!r} is not of the form key=text with one of the keys {known}")
        tree[key] = text
    return _validated(tree, OwnerSection, path.name)


def dump_owner(owner: OwnerSection) -> str:
    """The owner's part of a card as YAML, with all keys, also those that are empty."""
    return yaml.dump(owner.model_dump(), sort_keys=False, width=120, allow_unicode=True)


def load_review_config(path: Path) -> ReviewConfig:
    """The configuration of the review app in a YAML file; its paths are absolute, those in the file relative to it.

    Raises:
        ConfigError: If the file is missing, no YAML, or says something that the tree does not allow; also if this is so
            of its de-identification profile.
    """
    tree = _tree(_read(path, "configuration"), path.name, "configuration; write for example `folder: review`")
    folder = path.resolve().parent
    config: ReviewConfig = _absolute(_validated(tree, ReviewConfig, path.name), folder)
    if config.profile in profile_names():
        return config
    profile = str(folder / config.profile)
    load_profile(profile)  # so that it is told now, and not by the first upload
    return config.model_copy(update={"profile": profile})


def profile_names() -> tuple[str, ...]:
    """The de-identification profiles that the package carries."""
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in _PROFILES.iterdir()))


def load_profile(name_or_path: str | Path) -> DeidProfile:
    """A de-identification profile: one of the package's by its name, or a YAML file.

    Raises:
        ConfigError: If there is no such profile or file, or it says something that a profile may not.
    """
    name = str(name_or_path)
    if name in profile_names():
        return _profile(_PROFILES.joinpath(f"{name}.yaml").read_text(encoding="utf-8"), name)
    path = Path(name_or_path)
    if not path.exists():
        raise ConfigError(f"no profile {name!r}; there are {', '.join(profile_names())}, or name a YAML file")
    return _profile(_read(path, "profile"), path.name)


def _profile(text: str, source: str) -> DeidProfile:
    tree = _tree(text, source, "profile; copy one from configs/deid and change it")
    return _validated(tree, DeidProfile, source)


def _absolute(value: Any, folder: Path) -> Any:
    """``value`` with all paths in it made absolute, as those that are relative to ``folder``."""
    match value:
        case Path():
            return folder / value
        case tuple():
            return tuple(_absolute(one, folder) for one in value)
        case dict():
            return {name: _absolute(one, folder) for name, one in value.items()}
        case Section():
            fields = {name: _absolute(getattr(value, name), folder) for name in type(value).model_fields}
            return value.model_copy(update=fields)
        case _:
            return value


def _read(path: Path, kind: str) -> str:
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise ConfigError(f"{path.name}: larger than {_LARGEST_FILE} bytes, so not a {kind}")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{kind} {str(path)!r} cannot be read: {_reason(error)}") from error


def _validated(tree: dict[str, Any], model: type[_Model], source: str) -> _Model:
    try:
        return model.model_validate(tree)
    except ValidationError as error:
        raise ConfigError(f"{source}: " + "; ".join(_line(one) for one in error.errors())) from error


def _override(tree: dict[str, Any], override: str) -> None:
    dotted, equals, text = override.partition("=")
    if not equals or not dotted:
        raise ConfigError(f"override {override!r} is not of the form section.key=value")
    *parents, key = dotted.split(".")
    here = tree
    for parent in parents:
        below = here.setdefault(parent, {})
        if not isinstance(below, dict):
            raise ConfigError(f"override {override!r}: {parent!r} is a value, not a section")
        here = below
    here[key] = _parsed(text, f"override {override!r}")


def _tree(text: str, source: str, wanted: str) -> dict[str, Any]:
    """The mapping that a YAML text is; ``wanted`` says what it should hold, and how to come by it."""
    tree = _parsed(text, source)
    if not isinstance(tree, dict):
        raise ConfigError(f"{source}: holds no {wanted}")
    return tree


def _parsed(text: str, source: str) -> Any:
    """What a YAML text says; values such as 2026-13-45 look like a date and are none, hence ``ValueError``."""
    try:
        return plain_yaml(text)
    except TooManyValuesError as error:
        raise ConfigError(
            f"{source}: repeats values (*name) until they are too many; write out what is meant"
        ) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise ConfigError(f"{source}: not valid YAML{where}") from error


def _line(error: ErrorDetails) -> str:
    where = ".".join(str(part) for part in error["loc"]) or "configuration"
    message = "there is no such key" if error["type"] == "extra_forbidden" else error["msg"]
    shown = "" if isinstance(error["input"], dict) else f" (got {_SHOWN.repr(error['input'])})"
    return f"{where}: {message}{shown}"


def _reason(error: OSError | UnicodeDecodeError) -> str:
    return (error.strerror or type(error).__name__).lower() if isinstance(error, OSError) else "it is not UTF-8 text"
