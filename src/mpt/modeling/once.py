"""What follows from weights alone is worked out once, as soon as nothing learns."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def settled(sources: Sequence[Tensor]) -> bool:
    """Whether tensors stay as they are until somebody writes to them: none learns, and no graph is traced."""
    learning = any(tensor.requires_grad or tensor.is_inference() for tensor in sources)
    return not (learning or torch.compiler.is_compiling())


class Once:
    """A tensor that is made anew only where one that it comes from has changed, or may be learning."""

    def __init__(self) -> None:
        self._sources: list[Tensor] = []  # held, so that no other tensor takes their place in memory
        self._versions: list[int] = []
        self._value: Tensor | None = None

    def __call__(self, make: Callable[[], Tensor], sources: Sequence[Tensor]) -> Tensor:
        """What ``make`` makes of ``sources``."""
        if not settled(sources):
            return make()
        if self._value is None or not self._made_of(sources):
            with torch.inference_mode(False), torch.no_grad():  # usable wherever it is met again
                self._value = make()
            self._sources = [tensor.detach() for tensor in sources]
            self._versions = [tensor._version for tensor in sources]
        return self._value

    def _made_of(self, sources: Sequence[Tensor]) -> bool:
        known = zip(self._sources, self._versions, sources, strict=True)
        return all(
            one.data_ptr() == now.data_ptr() and version == now._version for one, version, now in known
        )
