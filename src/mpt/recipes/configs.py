"""config.json of a run folder -> the typed configuration it was written from."""

from pathlib import Path
from typing import TypeVar

from mpt.checkpoint import typed
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
        return typed(read_json(path), kind)
    except OSError as error:
        raise InputError(
            f"{run}: holds no run to resume ({path.name}: {error.strerror}); give the --out of an earlier run"
        ) from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise InputError(
            f"{path}: is no configuration of this version ({error}); start the run anew, or resume it with "
            "the version of mpt that began it"
        ) from None
