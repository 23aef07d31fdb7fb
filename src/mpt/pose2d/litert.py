"""Small networks in .tflite files, run by LiteRT."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class Network:
    """A .tflite file: one input picture, outputs in the order of their names. Threads may share it.

    An interpreter keeps its input and outputs in one place, so each call has one for itself: one that is
    idle, or else a new one. There are as many as calls have met. Copies, also in other processes, read the
    file again.
    """

    def __init__(self, path: Path, num_threads: int):
        self.path, self.num_threads = path, num_threads
        self._idle = [_Interpreter(path, num_threads)]

    def __reduce__(self) -> tuple[type["Network"], tuple[Path, int]]:
        return Network, (self.path, self.num_threads)

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        try:
            interpreter = self._idle.pop()
        except IndexError:
            interpreter = _Interpreter(self.path, self.num_threads)
        try:
            return interpreter(pixels)
        finally:
            self._idle.append(interpreter)


class _Interpreter:
    """LiteRT's, for one call at a time."""

    def __init__(self, path: Path, num_threads: int) -> None:
        from ai_edge_litert.interpreter import Interpreter

        with _quiet():
            self._interpreter = Interpreter(str(path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: output["name"])
        self._outputs = [output["index"] for output in outputs]

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        self._interpreter.set_tensor(self._input, pixels[None])
        self._interpreter.invoke()
        return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT announces its CPU delegate on stderr, past Python: once for each network of each command."""
    with _quieting:
        stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, 2)
        try:
            yield
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            os.close(nothing)


_quieting = threading.Lock()
"""Two threads that turned stderr away and back at once would leave it turned away."""


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
