"""The search looks no more often than it must: counted on made-up networks that see made-up people."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from mpt.crops import Crop
from mpt.pose2d import figures
from mpt.pose2d.blazepose import BlazePose, BlazePoseHeavy

PICTURE = np.zeros((480, 640, 3), np.uint8)


@dataclass
class World:
    """People as circles (x, y, size in pixels), what networks say of them, and how often they are asked.

    The detector sees people who are as large as a third of its square, has a trace of those of a sixth, and
    sees ``ghosts`` as people, whom the landmark network knows to be none.
    """

    people: list[tuple[float, float, float]]
    ghosts: list[tuple[float, float, float]] = field(default_factory=list)
    off: float = 0.0  # of the person's size: by how much the first look's region is wrong
    squares: list[Crop] = field(default_factory=list)
    looks: list[Crop] = field(default_factory=list)

    def detect(self, photo, tile):
        self.squares.append(tile)
        for x, y, size in self.people + self.ghosts:
            inside = np.abs(np.subtract((x, y), tile.center_px)).max() < tile.side_px / 2
            share = size / tile.side_px
            if inside and 1 / 6 < share < 1.2:
                score = 0.9 if share > 1 / 3 else 0.1
                yield figures.Detection(score, Crop((x + self.off * size, y), size * 1.25))

    def land(self, image, roi, score, *, mirrored_look=False):
        self.looks.append(roi)
        x, y, size = min(
            self.people + self.ghosts, key=lambda who: np.hypot(*np.subtract(who[:2], roi.center_px))
        )
        joints = np.zeros((29, 3))
        joints[:, :2] = (x, y) + size / 2 * np.random.default_rng(0).uniform(-1, 1, (29, 2))
        joints[figures.HIPS, :2] = x, y
        joints[:, 2] = 0.9
        presence = 1.0 if (x, y, size) in self.people else 0.1
        maps, world = np.zeros((64, 64, 29), np.float32), np.zeros((33, 3))
        return figures.Figure(score, presence, roi, Crop((x, y), size * 1.25), joints, maps, world)

    def searched_by(self, finder: BlazePose) -> list[float]:
        """The x of everybody found."""
        finder.__dict__.update(_detections=self.detect, _scout=self.land)
        found = finder(PICTURE)
        return sorted(round(float(person.joints2d_px[figures.HIPS, 0].mean())) for person in found)


def test_somebody_large_is_found_by_one_call_and_two_looks():
    world = World([(320, 240, 400)])
    assert world.searched_by(BlazePose(heatmap_size=8)) == [320]
    assert (len(world.squares), len(world.looks)) == (1, 2)


def test_a_region_that_was_wrong_is_looked_at_once_more():
    world = World([(320, 240, 400)], off=0.1)
    assert world.searched_by(BlazePose(heatmap_size=8)) == [320]
    assert [look.center_px[0] for look in world.looks] == [360, 320]


@pytest.mark.parametrize(
    "finder", [BlazePose(heatmap_size=8, mirrored_look=True), BlazePoseHeavy(heatmap_size=8)]
)
def test_another_kind_of_look_is_never_left_out(finder):
    world = World([(320, 240, 400)])
    finder.__dict__["_landmarker"] = lambda *args, **kwargs: world.land(*args, **kwargs)
    assert world.searched_by(finder) == [320]
    assert len(world.looks) == 2


def test_who_stands_small_behind_somebody_large_is_found_by_the_trace():
    world = World([(450, 240, 400), (100, 200, 110)])
    assert world.searched_by(BlazePose(heatmap_size=8)) == [100, 450]
    assert len(world.looks) == 4


def test_an_empty_picture_is_searched_by_halves_and_no_farther():
    world = World([])
    assert world.searched_by(BlazePose(heatmap_size=8)) == []
    assert (len(world.squares), len(world.looks)) == (1 + 6, 0)


def test_squares_of_a_third_are_looked_at_where_there_is_a_trace():
    small = (60, 60, 75)
    world = World([(230, 240, 200), (500, 240, 200), small])
    assert world.searched_by(BlazePose(heatmap_size=8)) == [60, 230, 500]
    thirds = [square for square in world.squares if square.side_px < 0.4 * 640]
    assert len(thirds) == 1
    assert np.abs(np.subtract(small[:2], thirds[0].center_px)).max() < thirds[0].side_px / 2


def test_what_several_squares_take_for_somebody_is_looked_at_once():
    world = World([(450, 240, 200)], ghosts=[(230, 240, 200)])
    assert world.searched_by(BlazePose(heatmap_size=8)) == [450]
    assert sum(look.center_px[0] == 230 for look in world.looks) == 1


def test_the_foreground_is_the_whole_photo_alone():
    world = World([(230, 240, 150), (450, 240, 300)])
    assert world.searched_by(BlazePose(heatmap_size=8, search="foreground")) == [450]
    assert len(world.squares) == 1


def test_a_mirrored_world_gives_the_mirrored_people():
    people = [(230, 240, 200), (500, 240, 200), (60, 60, 75)]
    there = World([(639 - x, y, size) for x, y, size in people]).searched_by(BlazePose(heatmap_size=8))
    assert sorted(639 - x for x in there) == World(people).searched_by(BlazePose(heatmap_size=8))
