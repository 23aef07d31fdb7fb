"""One loaded model, called by several threads, by other processes, and by its copies: the same people."""

import copy
import multiprocessing
import pickle
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
import torch
from little_model import write_little_model
from small_films import write_film
from walkers import FOCAL, Walkers, across, frames

import mpt
from mpt import checkpoint
from mpt.demo import scenes
from mpt.films.people import FilmPerson
from mpt.modeling.upright import look_upright
from mpt.pose2d.blazepose import BlazePose
from mpt.quiet import all_quiet, quiet
from mpt.reconstructor import Reconstructor
from mpt.skeletons import COCO29


def loaded(finder: type[BlazePose] = BlazePose) -> Reconstructor:
    """mpt-small with a finder that looks at the whole photo alone, for speed."""
    reconstructor = mpt.load("mpt-small", device="cpu")
    reconstructor.pose2d = finder(search="foreground", heatmap_size=reconstructor.heatmap_size)
    return reconstructor


@pytest.fixture(scope="module")
def reconstructor() -> Reconstructor:
    return loaded()


@pytest.fixture(scope="module")
def photos() -> list[np.ndarray]:
    """Four, of one made-up person."""
    whole = cv2.resize(next(iter(scenes(COCO29))).image, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    height = len(whole)
    return [whole, whole[:, ::-1], whole[: height * 9 // 10], whole // 2 + 60]


@pytest.fixture(scope="module")
def alone(reconstructor, photos) -> list[mpt.Result]:
    found = [reconstructor(photo) for photo in photos]
    assert all(len(people) == 1 for people in found)
    return found


def test_four_threads_with_twenty_photos_each_find_what_one_finds_to_the_last_bit(photos, alone):
    fresh = loaded()  # of which nothing is made yet
    together = threading.Barrier(4)

    def call(first: int) -> list[mpt.Result]:
        together.wait()
        return [fresh(photos[(first + at) % 4]) for at in range(20)]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(call, range(4)))
    for first, of_thread in enumerate(found):
        assert of_thread == [alone[(first + at) % 4] for at in range(20)]


def test_people_differ_where_a_single_number_does(alone):
    person, other = alone[0][0], alone[1][0]
    moved = copy.deepcopy(person)
    assert moved == person and hash(moved) == hash(person) and {moved, person} == {person}
    moved.vertices[17, 2] = np.nextafter(moved.vertices[17, 2], 9)
    assert moved != person != other
    assert person in [other, person] and person not in [other, moved]
    assert alone[0] == [person] and alone[0] != alone[1]
    assert person.pose == copy.copy(person.pose) != other.pose
    assert person != "a person"


def test_people_are_sent_about_without_the_body_that_all_share(alone):
    content = pickle.dumps(alone[0])
    assert len(content) < 1_500_000
    back = pickle.loads(content)
    assert back == alone[0] and type(back) is mpt.Result and back.seconds == alone[0].seconds
    assert back[0].pose.body == alone[0][0].pose.body
    np.testing.assert_array_equal(back[0].posed({}).vertices, alone[0][0].posed({}).vertices)


def test_a_body_of_ones_own_is_sent_whole(alone):
    body = alone[0][0].pose.body.subset(torch.arange(100))
    back = pickle.loads(pickle.dumps(body))
    assert back == body != alone[0][0].pose.body
    torch.testing.assert_close(back.shape_basis, body.shape_basis)
    assert pickle.loads(pickle.dumps(body.to(dtype=torch.float64))) != body


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_a_copy_finds_the_same(reconstructor, photos, alone, copied):
    assert copied(reconstructor)(photos[0]) == alone[0]


def test_another_process_finds_the_same(reconstructor, photos, alone):
    expected = copy.deepcopy(alone[:2])
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map(reconstructor, photos[:2])
    assert found == expected == alone[:2]


def test_the_process_keeps_its_threads_and_its_warnings(reconstructor, photos):
    before, filters = torch.get_num_threads(), list(warnings.filters)
    torch.set_num_threads(3)
    try:
        reconstructor(photos[0])[0].overlay(photos[0])
        with pytest.raises(mpt.InputError):
            reconstructor(photos[0], focal_px=-1.0)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert warnings.filters == filters


def test_a_call_computes_in_one_thread(photos, monkeypatch):
    seen = []

    class Asked(BlazePose):
        def __call__(self, image):
            seen.append(torch.get_num_threads())
            return super().__call__(image)

    def look(*args, **options):
        seen.append(torch.get_num_threads())
        return look_upright(*args, **options)

    monkeypatch.setattr("mpt.reconstructor.look_upright", look)
    reconstructor = loaded(Asked)
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        reconstructor(photos[0])
    finally:
        torch.set_num_threads(before)
    assert seen == [1, 1]


@pytest.mark.parametrize("silence", [quiet, all_quiet])
def test_silences_that_overlap_leave_the_filters_as_they_were(silence):
    filters, inside, leave = list(warnings.filters), threading.Event(), threading.Event()

    def other():
        with all_quiet():
            inside.set()
            leave.wait()

    thread = threading.Thread(target=other)
    thread.start()
    inside.wait()
    with silence():
        if silence is all_quiet:
            leave.set()
            thread.join()
            with warnings.catch_warnings(record=True) as said:
                warnings.warn("nobody hears this", stacklevel=1)
            assert not said
    leave.set()
    thread.join()
    assert warnings.filters == filters


def test_two_films_in_two_threads_are_each_what_it_is_alone(tmp_path):
    model = checkpoint.load(write_little_model(tmp_path / "little.safetensors", sure=True))
    ways = [across(-0.9, 0.09, 4.0), across(0.9, -0.09, 5.5)]
    write_film(tmp_path / "clip.mp4", frames(12))
    filters = list(warnings.filters)

    def filmed(number: int, out: str) -> list[FilmPerson]:
        lifter = Reconstructor(model, Walkers(ways[number]))
        out = tmp_path / out / str(number)
        return mpt.film(tmp_path / "clip.mp4", out, model=lifter, smooth="filter", focal_px=FOCAL)

    alone = [filmed(number, "alone") for number in range(2)]
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(filmed, range(2), ["together"] * 2))
    assert warnings.filters == filters
    for one, other in zip(alone, together, strict=True):
        assert [len(person) for person in one] == [len(person) for person in other] == [12]
        for person, same in zip(one, other):
            np.testing.assert_array_equal(person.rotvec, same.rotvec)
            np.testing.assert_array_equal(person.translation_m, same.translation_m)
