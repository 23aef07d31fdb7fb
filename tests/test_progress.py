"""How far long work is, where stderr is no terminal: soon said, then once a minute, and never in a flood."""

import io
import sys
from itertools import pairwise

import pytest
from rich.console import Console

from mpt import progress
from mpt.progress import counted, duration, tracked


class Clock:
    """A second passes with each step of the work."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seconds = 0.0
        monkeypatch.setattr(progress.time, "monotonic", lambda: self.seconds)

    def steps(self, count: int):
        for step in range(count):
            self.seconds += 1
            yield step


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return Clock(monkeypatch)


def test_a_redirected_log_hears_soon_and_then_once_a_minute(clock, capsys):
    assert list(tracked(clock.steps(600), "reading", 600)) == [*range(600)]
    said = capsys.readouterr()
    assert said.out == ""
    lines = said.err.splitlines()
    at = [int(line.split()[1]) for line in lines]
    assert at[:4] == [5, 15, 35, 75] and {b - a for a, b in pairwise(at[3:])} == {60}
    assert lines[0] == "reading 5 of 600, 10 min left" and lines[-1].startswith("reading 555 of 600, ")


def test_what_ends_soon_says_nothing(clock, capsys):
    list(tracked(clock.steps(4), "reading", 4))
    assert capsys.readouterr().err == ""


def test_what_was_done_before_is_not_taken_for_speed(clock, capsys):
    with counted("step", 1000, done=900) as tell:
        for step in clock.steps(10):
            tell(901 + step, "loss 0.5" if step == 2 else "")
    assert capsys.readouterr().err == "step 905 of 1,000, loss 0.5, 95 s left\n"


def test_on_a_terminal_a_bar_goes_as_it_came_or_stays(monkeypatch):
    for stays in (False, True):
        screen = io.StringIO()
        console = Console(file=screen, force_terminal=True, width=100)
        with counted("training", 3, console=console, stays=stays) as tell:
            for done in (1, 2, 3):
                tell(done, f"loss {done}")
        assert "3/3" in screen.getvalue() and "loss 3" in screen.getvalue()
        assert screen.getvalue().endswith("\x1b[2K") != stays


def test_nobody_who_reads_stderr_stops_no_work(clock, monkeypatch):
    class Gone(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    monkeypatch.setattr(sys, "stderr", Gone())
    assert len(list(tracked(clock.steps(100), "reading", 100))) == 100


def test_durations_are_said_in_the_unit_that_fits():
    assert [duration(s) for s in (3.2, 99, 101, 5900, 6100)] == ["3 s", "99 s", "2 min", "98 min", "1.7 h"]
