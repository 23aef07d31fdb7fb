"""Reading the text formats: whole files, and words as numbers."""

import math
import re
import warnings
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path

import numpy as np

from mpt.errors import InputError

CONTROL = dict.fromkeys([*range(9), *range(14, 32), 127], " ")  # what old editors end files with
FRAME_TIME = re.compile(
    r"([-+.,\de]+)\s*(|s|secs?|seconds?|ms|msecs?|milliseconds?|fps|hz)\.?", re.IGNORECASE
)
LARGEST = 1e8  # of any channel: nobody is so far away or turned so often
SHORTEST_S = 0.001  # from frame to frame
RATES = np.array([10, 12, 12.5, 15, 20, 24, 25, 30, 48, 50, 60, 72, 75, 90, 100, 120, 144, 150, 200, 240])
NEAR = 0.015  # of a rate


def read_text(path: Path) -> str:
    """The file's text, with any line ends; control characters are spaces. An empty file raises InputError."""
    content = path.read_bytes()
    encoding = "utf-16" if content.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    text = content.decode(encoding, errors="replace").translate(CONTROL)
    text = "\n".join(text.splitlines())
    if not text.strip():
        raise InputError("it is empty, export or download it again")
    return text


def numbers(words: Sequence[str], count: int, what: str, below: float = math.inf) -> list[float]:
    """``count`` finite numbers, one from each word; ``what`` names their place in the message, ``below`` is
    what none may reach.
    """
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != count or not all(abs(value) < below for value in values):
        came = " ".join(words) or "nothing"
        wanted = f"{count} number(s)" + (f" below {below:,.0f}" if below < math.inf else "")
        raise InputError(f"{what} holds '{came}' where {wanted} were expected, export it again")
    return values


def frame_rate(frame_time: str, name: str) -> float:
    """Frames per second of a frame time as written: ``0.0333333``, ``.0333 s``, ``0,0333``, ``33.3 ms`` or
    ``30 fps``.

    The rate is whole where the written time is a whole rate's, cut to its digits: .0333 is 30. A number that
    can only be milliseconds, or only frames per second, is taken as such with a warning that begins with
    ``name``. Raises InputError for what is no time from frame to frame.
    """
    text = frame_time.strip()
    written = FRAME_TIME.fullmatch(text)
    number, unit = (written[1].replace(",", "."), written[2].lower()) if written else (text, "")
    (time,) = numbers([number], 1, "'Frame Time:'")
    if unit in ("fps", "hz") and 1 <= time <= 1 / SHORTEST_S:
        return time
    if time >= 1 and not unit.startswith("m"):
        return _rate_without_seconds(time, name)
    unit_s = 1e-3 if unit.startswith("m") else 1.0
    seconds = time * unit_s
    if not SHORTEST_S <= seconds <= 1:
        raise InputError(
            f"its frame time is {text}, a thousandth of a second to one second was expected, "
            "write it in seconds, as 0.0333333"
        )
    whole = round(1 / seconds)
    last_digit = 10.0 ** int(Decimal(number).as_tuple().exponent) * unit_s
    written_so = abs(1 / whole - seconds) < last_digit and abs(whole * seconds - 1) < 0.005
    return whole if written_so else 1 / seconds


def _rate_without_seconds(time: float, name: str) -> float:
    """Of a frame time of 1 and more: milliseconds or frames per second, as one of them is a usual rate."""
    meanings = {"milliseconds": 1000 / time, "frames per second": time}
    usual = {unit: rate for unit, rate in meanings.items() if np.abs(RATES / rate - 1).min() < NEAR}
    if len(usual) != 1:
        raise InputError(
            f"its frame time is {time:g}, which {'may be' if usual else 'is no usual number of'} "
            "milliseconds or frames per second, seconds were expected, write it as 0.0333333"
        )
    ((unit, rate),) = usual.items()
    rate = float(round(rate)) if abs(rate - round(rate)) < 0.05 else rate
    warnings.warn(
        f"{name}: its frame time is {time:g}, which is taken as {unit}: {rate:.4g} frames per second",
        stacklevel=4,
    )
    return rate
