"""Matching the people found with those who are there, and their errors."""

import numpy as np
import pytest
from little_model import standing_joints

from mpt.crops import Crop
from mpt.demo import compare, match, scenes
from mpt.errors import InputError
from mpt.reconstruction import Reconstruction
from mpt.scenes import Subject
from mpt.skeletons import COCO17, H36M17, HAND21

SIZE = (640, 480)


def subject(x: float) -> Subject:
    rng = np.random.default_rng(0)
    joints2d = standing_joints((x, 0, 4), 800, SIZE)[:, :2]
    joints = rng.normal(size=(17, 3)).astype(np.float32)
    return Subject(rng.normal(size=(50, 3)).astype(np.float32), joints, joints2d, np.zeros(1))


def found(truth: Subject, off_m: float = 0.0, off_px: float = 0.0) -> Reconstruction:
    root = truth.joints[COCO17.root].mean(0)
    return Reconstruction(
        skeleton=COCO17,
        vertices=truth.vertices - root + np.float32([off_m, 0, 0]),
        faces=np.zeros((0, 3), int),
        joints3d=truth.joints - root + np.float32([0, off_m, 0]),
        translation_m=root,
        focal_px=800.0,
        focal_assumed=True,
        principal_px=(319.5, 239.5),
        camera=(1.0, 0.0, 0.0),
        crop=Crop((320, 240), 300),
        joints2d_px=np.column_stack([truth.joints2d_px + off_px, np.ones(17)]),
        score=1.0,
        bbox_xywh=(0.0, 0.0, 1.0, 1.0),
    )


def test_a_perfect_body_has_no_error_and_a_shifted_one_its_shift():
    truth = subject(0)
    (perfect,) = compare([found(truth)], [truth])
    assert perfect.mpjpe_mm == pytest.approx(0, abs=1e-3)
    (shifted,) = compare([found(truth, off_m=0.03)], [truth])
    assert shifted.mpjpe_mm == pytest.approx(30, abs=1e-2)
    assert shifted.mpve_mm == pytest.approx(30, abs=1e-2)
    assert shifted.pa_mpjpe_mm == pytest.approx(0, abs=1e-2)


def test_each_is_matched_with_the_nearest_and_nobody_twice():
    left, right = subject(-0.6), subject(0.6)
    assert match([found(right), found(left, off_px=5), found(left)], [left, right]) == [2, 0]
    assert match([found(left)], [left, left]) in ([0, None], [None, 0])


def test_who_is_far_away_is_not_found():
    assert compare([found(subject(1.5))], [subject(-1.5)]) == [None]
    assert compare([], [subject(0)]) == [None]


def test_the_demo_has_pictures_for_people_and_hands_alone():
    assert next(iter(scenes(COCO17))).people[0].joints.shape == (29, 3)
    assert next(iter(scenes(HAND21))).people[0].joints.shape == (21, 3)
    with pytest.raises(InputError, match="no pictures for models of h36m17"):
        next(iter(scenes(H36M17)))
