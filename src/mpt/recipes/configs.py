"""config.json of a run folder -> the typed configuration it was written from."""

import typing
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar

from mpt.errors import InputError
from mpt.json_files import read_json

Config = TypeVar("Config")


def read_config(run: Path, kind: type[Config]) -> Config:
    """The configuration of a run, an instance of ``kind``.

    Raises:
        InputError: no run folder, a broken config.json, or one of another version or recipe.
    """
    path = Path(run) / "config.json"
    try:
        return _typed(read_json(path), kind)
    except OSError as error:
        raise InputError(
            f"{run}: holds no run to resume ({path.name}: {error.strerror}); give the --out of an earlier run"
        ) from None
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(
            f"{path}: is no configuration of this version ({error}); start the run anew, or resume it with "
            "the version of mpt that began it"
        ) from None


def _typed(value: Any, kind: Any) -> Any:
    """JSON -> what ``asdict`` and ``json.dumps`` made it from: dataclasses, tuples and plain values."""
    if is_dataclass(kind):
        hints = typing.get_type_hints(kind)
        known = {field.name for field in fields(kind)}
        if unknown := set(value) - known:
            raise KeyError(sorted(unknown)[0])
        return kind(**{name: _typed(part, hints[name]) for name, part in value.items()})
    if typing.get_origin(kind) is tuple:
        return tuple(value)
    return value
