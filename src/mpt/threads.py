"""How many threads torch takes, for a while and for nobody else.

torch hands parts of an operation to threads that wait for each other busily. Where other programs use the
cores, one of them waits for a core while the rest burn theirs, and a mesh of 10 ms takes half a second. Small
networks gain nothing from several threads even on an idle machine.
"""

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import torch

LIBRARIES = {"darwin": "libtorch_cpu.dylib", "win32": "libiomp5md.dll"}
"""Beside torch: what knows OpenMP's functions; elsewhere libtorch_cpu.so."""


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """So many threads for torch's operations inside, or in the function that it decorates.

    It holds for the Python thread that is inside alone: what others have, and what the process gives to those
    that begin meanwhile, stays as it is. (``torch.set_num_threads`` sets both.) Where torch was built in a
    way that its OpenMP cannot be reached, torch's own function has to do.
    """
    before = torch.get_num_threads()  # and torch will not set this thread up again
    openmp, mkl = _switches()
    openmp(count)
    mkl_before = mkl(count)
    try:
        yield
    finally:
        openmp(before)
        mkl(mkl_before)


@cache
def _switches() -> tuple[Callable[[int], object], Callable[[int], int]]:
    """What sets the calling thread's OpenMP threads, and what sets MKL's and returns how many it had."""
    try:
        library = ctypes.CDLL(
            str(Path(torch.__file__).parent / "lib" / LIBRARIES.get(sys.platform, "libtorch_cpu.so"))
        )
        openmp = library.omp_set_num_threads
    except (OSError, AttributeError):
        return torch.set_num_threads, _no_mkl
    if not _reaches(openmp):
        return torch.set_num_threads, _no_mkl
    return openmp, getattr(library, "MKL_Set_Num_Threads_Local", _no_mkl)


def _reaches(openmp: Callable[[int], object]) -> bool:
    """Whether this is the OpenMP that torch computes with."""
    before = torch.get_num_threads()
    openmp(before + 1)
    reached = torch.get_num_threads() == before + 1
    openmp(before)
    return reached


def _no_mkl(count: int) -> int:
    return 0
