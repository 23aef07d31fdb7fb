"""Threads of torch are taken for a while, and nobody else notices."""

import threading

import pytest
import torch

import mpt.threads
from mpt.threads import torch_threads


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


@pytest.fixture
def three_threads():
    """torch takes three, and afterwards what it took before."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_scope_sets_back_what_it_found(three_threads):
    with torch_threads(1):
        assert torch.get_num_threads() == 1
        with torch_threads(2):
            assert torch.get_num_threads() == 2
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_a_scope_sets_back_after_an_error(three_threads):
    with pytest.raises(KeyError), torch_threads(1):
        raise KeyError
    assert torch.get_num_threads() == 3


def test_a_decorated_function_has_its_threads_and_its_caller_keeps_the_others(three_threads):
    count = torch_threads(1)(torch.get_num_threads)
    assert (count(), torch.get_num_threads(), count()) == (1, 3, 1)


def test_who_begins_meanwhile_gets_what_the_process_has(three_threads):
    with torch_threads(1):
        assert in_new_thread(torch.get_num_threads) == 3
    assert in_new_thread(torch.get_num_threads) == 3


def test_scopes_that_overlap_in_two_threads_leave_both_as_they_were(three_threads):
    entered, leave = threading.Event(), threading.Event()
    seen = []

    def other():
        with torch_threads(2):
            seen.append(torch.get_num_threads())
            entered.set()
            leave.wait()
            seen.append(torch.get_num_threads())
        seen.append(torch.get_num_threads())

    thread = threading.Thread(target=other)
    with torch_threads(1):
        thread.start()
        entered.wait()
        assert torch.get_num_threads() == 1
    leave.set()
    thread.join()
    assert seen == [2, 2, 3]
    assert torch.get_num_threads() == in_new_thread(torch.get_num_threads) == 3


def test_where_openmp_is_out_of_reach_torch_sets_its_own(three_threads, monkeypatch):
    monkeypatch.setattr(mpt.threads, "_switches", lambda: (torch.set_num_threads, mpt.threads._no_mkl))
    with torch_threads(1):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3


def test_matrix_products_take_no_more_threads_either(three_threads):
    mkl = mpt.threads._switches()[1]
    if mkl is mpt.threads._no_mkl:
        pytest.skip("this torch has no MKL")
    with torch_threads(1):
        assert mkl(1) == 1
    assert mkl(3) == 3
