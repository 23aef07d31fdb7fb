"""Files as accidents leave them: mutants of real ones, and what a reader may do with each.

A reader takes a mutant or refuses it with InputError; nothing else, within 5 seconds and 1 GiB.
"""

import re
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from mpt.errors import InputError

SECONDS = 5
GIB = 2**30
BYTES = [
    b"\x00",
    b"\xff",
    b"\x1a",
    b"\r",
    b"\n",
    b" ",
    b'"',
    b"{",
    b"}",
    b"[",
    b"]",
    b",",
    b"-",
    b"\xef\xbb\xbf",
]
NUMBERS = [
    b"nan",
    b"-inf",
    b"1e999",
    b"-1",
    b"0",
    b"1e-320",
    b"99999999999999999999",
    b"4294967295",
    b"2.5",
    b"''",
]
NUMBER = re.compile(rb"-?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
WORD = re.compile(rb"[A-Za-z_]\w*")


class TooSlow(BaseException):
    """No Exception, and no OSError as TimeoutError is: no reader may take it for a fault of the file."""


def mutants(source: bytes, count: int, *, seed: int = 0) -> Iterator[bytes]:
    """``count`` versions of a file, each with one to four accidents; the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        mutant = source
        for _ in range(rng.integers(1, 5)):
            mutant = ACCIDENTS[rng.integers(len(ACCIDENTS))](mutant, rng)
        yield mutant


def survive(read: Callable[[Path], object], path: Path, source: bytes, count: int, *, seed: int = 0) -> int:
    """Read ``count`` mutants of a file written to ``path``; how many were refused.

    Fails with the mutant's number and what came up instead of InputError: it can be made again from the seed.
    """
    refused = 0
    for number, mutant in enumerate(mutants(source, count, seed=seed)):
        path.write_bytes(mutant)
        try:
            with limits():
                read(path)
        except InputError as error:
            refused += 1
            assert "Traceback" not in str(error)
            assert str(error).strip()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            raise AssertionError(f"mutant {number} of {path.name}, seed {seed}: {error!r}") from error
    return refused


@contextmanager
def limits() -> Iterator[None]:
    """At most 5 seconds and 1 GiB more than now: TooSlow, MemoryError."""

    def ring(*_: object) -> None:
        raise TooSlow(f"it took over {SECONDS} s")

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    before = signal.signal(signal.SIGALRM, ring)
    resource.setrlimit(resource.RLIMIT_AS, (held + GIB, hard))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.signal(signal.SIGALRM, before)


def _place(mutant: bytes, rng: np.random.Generator) -> int:
    """Somewhere in the file; heads, where formats say what follows, twice as often."""
    end = len(mutant) if rng.random() < 0.5 else min(len(mutant), 200)
    return int(rng.integers(end + 1))


def _cut(mutant: bytes, rng: np.random.Generator) -> bytes:
    return mutant[: _place(mutant, rng)]


def _flip(mutant: bytes, rng: np.random.Generator) -> bytes:
    place = _place(mutant, rng)
    flipped = (mutant[place] ^ (1 << int(rng.integers(8)))) if place < len(mutant) else 0
    return mutant[:place] + bytes([flipped]) + mutant[place + 1 :]


def _insert(mutant: bytes, rng: np.random.Generator) -> bytes:
    place = _place(mutant, rng)
    return mutant[:place] + BYTES[rng.integers(len(BYTES))] * int(rng.integers(1, 4)) + mutant[place:]


def _drop(mutant: bytes, rng: np.random.Generator) -> bytes:
    place = _place(mutant, rng)
    return mutant[:place] + mutant[place + int(rng.integers(1, 40)) :]


def _double(mutant: bytes, rng: np.random.Generator) -> bytes:
    place, length = _place(mutant, rng), int(rng.integers(1, 80))
    return mutant[:place] + mutant[place : place + length] + mutant[place:]


def _lines_changed(mutant: bytes, rng: np.random.Generator) -> bytes:
    lines = mutant.split(b"\n")
    a, b = rng.integers(len(lines), size=2)
    lines[a], lines[b] = lines[b], lines[a]
    return b"\n".join(lines)


def _other_number(mutant: bytes, rng: np.random.Generator) -> bytes:
    return _replaced(mutant, NUMBER, NUMBERS[rng.integers(len(NUMBERS))], rng)


def _other_word(mutant: bytes, rng: np.random.Generator) -> bytes:
    words = WORD.findall(mutant[:2000]) or [b"x"]
    return _replaced(mutant, WORD, words[rng.integers(len(words))], rng)


def _replaced(mutant: bytes, what: re.Pattern[bytes], by: bytes, rng: np.random.Generator) -> bytes:
    start = _place(mutant, rng)
    found = what.search(mutant, start) or what.search(mutant)
    return mutant[: found.start()] + by + mutant[found.end() :] if found else mutant


ACCIDENTS = [
    _cut,
    _flip,
    _flip,
    _insert,
    _drop,
    _double,
    _lines_changed,
    _other_number,
    _other_number,
    _other_word,
]
