"""Work in another process: what it tells, refuses and leaves behind."""

import os
import signal
import time
import warnings

import pytest

from mpt.errors import InputError
from mpt.web.apart import Apart


def seven() -> int:
    return 7


def times(number: int, other: int, *, progress) -> tuple[int, int]:
    """Also in which process."""
    progress("multiplying", 1, 2)
    warnings.warn("a small number", stacklevel=2)
    return number * other, os.getpid()


def refuse(number: int, *, progress) -> None:
    raise InputError(f"{number} is no number that is taken")


def fail(number: int, *, progress) -> None:
    raise ValueError("/srv/secret")


def die(number: int, *, progress) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def sleep(number: int, *, progress) -> None:
    progress("sleeping", 0, None)
    time.sleep(60)


@pytest.fixture(scope="module")
def apart():
    made = Apart(seven)
    yield made
    made.close()


def refusal(apart: Apart, call, **options) -> str:
    with pytest.raises(InputError) as refused:
        apart(call, **options)
    return str(refused.value)


def test_calls_go_to_one_other_process_and_come_back_with_their_notes(apart):
    told = []
    (product, process), notes = apart(times, 6, progress=lambda *what: told.append(what))
    assert product == 42 and notes == ["a small number"] and process != os.getpid()
    assert told == [("starting", 0, None), ("multiplying", 1, 2)]
    assert apart(times, 2) == ((14, process), ["a small number"])


def test_refusals_come_back_and_faults_without_what_they_say(apart):
    assert refusal(apart, refuse) == "7 is no number that is taken"
    assert refusal(apart, fail) == "this went wrong here, and is said in the page's log: ValueError"
    assert apart(times, 1)[0][0] == 7


def test_a_process_that_dies_is_said_and_another_takes_its_place(apart):
    assert refusal(apart, die).startswith("the program that was working on it ended, for want of memory")
    assert apart(times, 1)[0][0] == 7


def test_whoever_waits_when_it_is_closed_is_told_so():
    made = Apart(seven)
    with pytest.raises(InputError, match=r"^the page is being closed$"):
        made(sleep, progress=lambda doing, *_: made.close() if doing == "sleeping" else None)
    assert refusal(made, times) == "the page is being closed"
