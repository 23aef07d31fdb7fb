"""Small networks in .tflite files, run by LiteRT."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np


class Network:
    """A .tflite file: one input picture, outputs in the order of their names. Threads may share it."""

    def __init__(self, path: Path, num_threads: int):
        from ai_edge_litert.interpreter import Interpreter

        with _quiet():
            self._interpreter = Interpreter(str(path), num_threads=num_threads)
            self._interpreter.allocate_tensors()
        self._input = self._interpreter.get_input_details()[0]["index"]
        outputs = sorted(self._interpreter.get_output_details(), key=lambda output: output["name"])
        self._outputs = [output["index"] for output in outputs]
        self._alone = threading.Lock()  # the interpreter keeps its input and outputs in one place

    def __call__(self, pixels: np.ndarray) -> list[np.ndarray]:
        with self._alone:
            self._interpreter.set_tensor(self._input, pixels[None])
            self._interpreter.invoke()
            return [self._interpreter.get_tensor(index)[0] for index in self._outputs]


@contextmanager
def _quiet() -> Iterator[None]:
    """LiteRT announces its CPU delegate on stderr, past Python: once for each network of each command."""
    stderr, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nothing)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(logits, -80, 80)))
