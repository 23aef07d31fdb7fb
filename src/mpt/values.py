"""Dataclasses that hold arrays, and are equal where all that they hold is, to the last bit.

``==`` of Python's own dataclasses asks arrays whether they are true, which raises.
"""

from collections.abc import Hashable
from dataclasses import fields

import numpy as np


class Values:
    """Equality and hash of a frozen dataclass (``eq=False``) by its fields, of which any may be arrays."""

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or _all_of(self) == _all_of(other)

    def __hash__(self) -> int:
        return hash(_all_of(self))


def _all_of(values: Values) -> tuple[Hashable, ...]:
    return tuple(_told(getattr(values, field.name)) for field in fields(values))  # pyright: ignore


def _told(value: object) -> Hashable:
    """What is equal, and hashed, for an array."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    return value  # pyright: ignore[reportReturnType]
