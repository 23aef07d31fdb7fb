"""A run's steps take as many threads as make them faster, and no more where other programs come."""

import pytest
import torch

from mpt.errors import InputError
from mpt.recipes import pace
from mpt.recipes.pace import Pace, check_threads


class Machine:
    """Takes steps; their seconds by one thread, and by all."""

    def __init__(self, monkeypatch, one: float, every: float) -> None:
        self.seconds = {1: one, 3: every}
        self.now, self.taken, self.said = 0.0, [], []
        monkeypatch.setattr(pace.time, "perf_counter", lambda: self.now)

    def steps(self, made: Pace, numbers: range) -> list[int]:
        """How many threads each had."""
        taken = []
        for number in numbers:
            with made.step(number):
                taken.append(torch.get_num_threads())
                self.now += self.seconds[taken[-1]]
        return taken

    def pace(self, asked: int | None = None, **how) -> Pace:
        return Pace(asked, 3, tell=self.said.append, **how)


def test_steps_are_tried_in_turn_and_the_faster_number_stays(monkeypatch):
    machine = Machine(monkeypatch, 1.0, 0.6)
    made = machine.pace()
    assert machine.steps(made, range(7)) == [1, 1, 3, 1, 3, 1, 3]
    assert made.settled == 3
    assert machine.steps(made, range(7, 20)) == [3] * 13
    [said] = machine.said
    assert said.startswith("a step takes 1 s by one thread and 0.6 s by 3: 3 from here on")


@pytest.mark.parametrize("every", [0.95, 16.0])
def test_several_threads_that_gain_little_or_wait_for_a_core_are_not_taken(monkeypatch, every):
    machine = Machine(monkeypatch, 1.0, every)
    made = machine.pace()
    machine.steps(made, range(7))
    assert made.settled == 1 and machine.steps(made, range(7, 60)) == [1] * 53


def test_a_run_goes_over_to_one_thread_where_other_programs_come(monkeypatch):
    machine = Machine(monkeypatch, 1.0, 0.6)
    made = machine.pace()
    machine.steps(made, range(30))
    machine.seconds = {1: 1.2, 3: 19.0}
    taken = machine.steps(made, range(30, 100))
    assert taken[:10] == [3] * 10 and taken[31:] == [1] * 39
    assert len(machine.said) == 2 and "other programs use the cores: 1 from here on" in machine.said[1]


def test_what_the_user_asks_for_is_never_changed(monkeypatch):
    machine = Machine(monkeypatch, 1.0, 16.0)
    assert machine.steps(machine.pace(3), range(100)) == [3] * 100
    assert machine.said == []


def test_a_resumed_run_goes_on_with_its_own_number_and_one_step_of_twenty_by_one(monkeypatch):
    machine = Machine(monkeypatch, 1.0, 0.6)
    taken = machine.steps(machine.pace(begun_with=3), range(7, 47))
    assert [number for number, count in zip(range(7, 47), taken) if count == 1] == [20, 40]


def test_where_torch_takes_one_nothing_is_tried(monkeypatch):
    made = Pace(None, 1, tell=pytest.fail)
    assert made.settled == 1 and Pace(None, 1, begun_with=2, tell=pytest.fail).settled == 1


@pytest.mark.parametrize("asked", [0, -1, 100_000])
def test_a_number_of_threads_that_cannot_be_is_refused(asked):
    with pytest.raises(InputError, match=f"--threads is {asked}, and this computer has"):
        check_threads(asked)
    check_threads(1)
