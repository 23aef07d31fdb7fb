"""config.json of a run folder -> the typed configuration it was written from."""

import json
import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from mpt.errors import InputError

Config = TypeVar("Config")


def read_config(run: Path, kind: type[Config]) -> Config:
    """The configuration of a run, an instance of ``kind``.

    Raises:
        InputError: no run folder, a broken config.json, or one of another version or recipe.
    """
    path = Path(run) / "config.json"
    try:
        return _typed(json.loads(path.read_text(encoding="utf-8")), kind)
    except OSError as error:
        raise InputError(
            f"{run}: holds no run to resume ({path.name}: {error.strerror}); give the --out of an earlier run"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is no configuration of this version ({error}); start the run anew, or resume it with "
            "the version of mpt that began it"
        ) from None


def _typed(value: Any, kind: Any) -> Any:
    """JSON -> what ``asdict`` and ``json.dumps`` made it from: dataclasses, tuples and plain values.

    Raises TypeError, ValueError or KeyError for a value of another kind.
    """
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {field.name for field in fields(kind)}
        if unknown := set(value) - known:
            raise KeyError(sorted(unknown)[0])
        return kind(**{name: _typed(part, hints[name]) for name, part in value.items()})
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, list) or (arguments[-1] is not ... and len(value) != len(arguments)):
            raise TypeError(f"{value!r} where {kind} was expected")
        return tuple(_typed(part, arguments[0]) for part in value)
    if typing.get_origin(kind) is typing.Literal:
        if value not in arguments:
            raise ValueError(f"{value!r} where one of {arguments} was expected")
        return value
    plain = (int, float) if kind is float else kind
    if not isinstance(value, plain) or (isinstance(value, bool) and kind is not bool):
        raise TypeError(f"{value!r} where {kind.__name__} was expected")
    return value
