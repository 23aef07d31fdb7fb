"""TRC, C3D and CSV as independent readers read them, of one frame and of many."""

import io
import warnings

import c3d
import ezc3d
import numpy as np
import pytest
import trc
from moving import AS_IT_IS, CAMERA, film, t_posed, turned
from posed import posed_person
from test_angles import rows

from mpt.biomechanics.c3d import c3d as c3d_of
from mpt.biomechanics.markers import markers
from mpt.biomechanics.table import csv as table
from mpt.biomechanics.trc import trc as trc_of
from mpt.bodies.motion import BodyMotion
from mpt.errors import InputError
from mpt.floor import World
from mpt.saving import Saving, save_motion


@pytest.fixture(scope="module")
def away() -> BodyMotion:
    """Somebody who comes into a film at its 12th frame, and is away for three frames."""
    pose = t_posed()
    poses = [turned(pose, "left_knee", [1.0, 0, 0], 10.0 * bend) for bend in range(1, 5)]
    return film(*poses, times_s=[11 / 25, 12 / 25, 16 / 25, 17 / 25], fps=25.0)


def read_c3d(content: bytes):
    """Frames as the ``c3d`` package reads them: numbers, (N, M, 5) with residuals, the reader itself."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # no analog data
        reader = c3d.Reader(io.BytesIO(content))
        frames = [(number, points) for number, points, _ in reader.read_frames()]
    return [number for number, _ in frames], np.stack([points for _, points in frames]), reader


def test_a_trc_file_is_read_as_it_was_written(tmp_path):
    motion = film(posed_person(1), posed_person(2))
    (tmp_path / "me.trc").write_bytes(trc_of(motion, CAMERA, "me.trc"))
    read = trc.TRCData()
    read.load(tmp_path / "me.trc")
    wanted = markers(motion, CAMERA)
    assert read["Markers"] == list(wanted.names) and read["FileName"] == "me.trc"
    assert (read["Units"], read["NumFrames"], read["NumMarkers"], read["DataRate"]) == ("m", 2, 79, 30.0)
    for number, name in enumerate(wanted.names):
        np.testing.assert_allclose(read[name], wanted.points_m[:, number], atol=1e-6)
    np.testing.assert_allclose(read["Time"], [0, 1 / 30], atol=1e-6)


def test_trc_cells_are_empty_where_somebody_was_away(away):
    lines = trc_of(away, AS_IT_IS).decode().splitlines()
    assert lines[2].split("\t") == ["25", "25", "7", "79", "m", "25", "12", "7"]
    assert lines[3].split("\t")[:6] == ["Frame#", "Time", "Nose", "", "", "LEye"]
    assert lines[4].split("\t")[2:6] == ["X1", "Y1", "Z1", "X2"] and lines[5] == ""
    cells = [line.split("\t") for line in lines[6:]]
    assert {len(row) for row in cells} == {2 + 3 * 79}
    assert [row[0] for row in cells] == [str(number) for number in range(12, 19)]
    np.testing.assert_allclose([float(row[1]) for row in cells], np.arange(11, 18) / 25, atol=1e-6)
    assert [set(row[2:]) == {""} for row in cells] == [False, False, True, True, True, False, False]


def test_a_c3d_file_is_read_by_two_readers(tmp_path, away):
    content = c3d_of(away, AS_IT_IS)
    (tmp_path / "me.c3d").write_bytes(content)
    wanted = markers(away, AS_IT_IS)
    theirs = ezc3d.c3d(str(tmp_path / "me.c3d"))
    told = theirs["parameters"]["POINT"]
    assert told["LABELS"]["value"] == list(wanted.names)
    assert (told["UNITS"]["value"], told["Y_SCREEN"]["value"]) == (["mm"], ["+Y"])
    assert told["RATE"]["value"][0] == 25
    np.testing.assert_allclose(theirs["data"]["points"][:3].T, 1000 * wanted.points_m, atol=1e-3)
    numbers, points, reader = read_c3d(content)
    assert numbers == list(range(12, 19)) and reader.point_rate == 25
    assert [label.strip() for label in reader.point_labels] == list(wanted.names)
    there = ~np.isnan(wanted.points_m[:, 0, 0])
    np.testing.assert_allclose(points[there, :, :3], 1000 * wanted.points_m[there], atol=1e-3)
    assert (points[~there, :, 3] == -1).all() and (points[there, :, 3] >= 0).all()


def test_a_table_has_joints_and_angles_of_every_frame(away):
    std = np.full((4, len(away.body.skeleton)), 0.03)
    read = rows(table(away, CAMERA, std))
    np.testing.assert_allclose([row["time"] for row in read], np.arange(11, 18) / 25, atol=1e-6)
    bends = [row["knee_angle_l"] for row in read]
    np.testing.assert_allclose(bends, [10, 20, np.nan, np.nan, np.nan, 30, 40], atol=1e-3)
    x, y, z = CAMERA(away[3].posed().joints[away.body.skeleton.index("left_ankle")].astype(float))
    last = [read[-1][f"left_ankle_{axis}"] for axis in "xyz"]
    np.testing.assert_allclose(last, [z, y, -x], atol=1e-5)
    assert read[-1]["left_ankle_std"] == 0.03 and np.isnan(read[2]["left_ankle_std"])
    assert not [name for name in rows(table(away, CAMERA))[0] if name.endswith("_std")]


def test_a_film_is_what_its_photos_are():
    poses = [posed_person(seed) for seed in (1, 2)]
    same = [film(poses[0], poses[0]), film(poses[0])]
    both, one = (rows(table(motion, CAMERA)) for motion in same)
    assert both[0] == one[0] == both[1] | {"time": 0}
    many = film(*poses[:1] * 501)  # more than are posed at once
    points = markers(many, CAMERA).points_m
    np.testing.assert_allclose(points, np.broadcast_to(points[:1], points.shape), atol=1e-5)


def test_frames_of_an_uneven_film_are_all_there():
    times = [0.0, 0.034, 0.05, 0.1, 0.131]
    read = rows(table(film(*[posed_person(1)] * 5, times_s=times), CAMERA))
    seen = [row["time"] for row in read if not np.isnan(row["nose_x"])]
    np.testing.assert_allclose(seen, times, atol=1e-6)
    assert np.all(np.diff([row["time"] for row in read]) > 0)


def test_a_motion_is_saved_in_its_world_with_how_sure_it_is(tmp_path, away):
    world = World(CAMERA.rotation, CAMERA.shift, "model", None)
    std = np.full((4, len(away.body.skeleton)), 0.03)
    for ending in ("trc", "c3d", "csv"):
        save_motion(tmp_path / f"me.{ending}", away, Saving(), world=world, joints3d_std_m=std)
    assert (tmp_path / "me.trc").read_bytes() == trc_of(away, CAMERA, "me.trc")
    assert (tmp_path / "me.csv").read_bytes() == table(away, CAMERA, std)
    points = read_c3d((tmp_path / "me.c3d").read_bytes())[1]
    np.testing.assert_array_equal(points, read_c3d(c3d_of(away, CAMERA))[1])


def test_a_hand_has_joints_and_no_angles():
    motion = film(posed_person(1, "anny-hand"))
    (row,) = rows(table(motion, CAMERA, np.full((1, 21), 0.01)))
    assert len(row) == 1 + 21 * 4 and row["thumb1_std"] == 0.01
    assert len(read_c3d(c3d_of(motion, CAMERA))[1][0]) == 21


def test_c3d_without_ezc3d_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr("mpt.biomechanics.c3d.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"^c3d is written by the package ezc3d, which is not installed: run"
    ):
        c3d_of(film(posed_person(1)), CAMERA)


def test_c3d_counts_no_further_than_it_can(monkeypatch):
    person = t_posed()
    long = film(person, person, times_s=[0.0, 70_000 / 30])
    with pytest.raises(
        InputError, match=r"^c3d holds 65535 frames at most, these are 70001: write trc or csv"
    ):
        c3d_of(long, AS_IT_IS)
    late = film(person, person, times_s=[70_000 / 30, 70_001 / 30])
    with pytest.warns(UserWarning, match=r"^c3d counts to 65535: its frames are numbered from the first one"):
        numbers, _, _ = read_c3d(c3d_of(late, AS_IT_IS))
    assert numbers == [1, 2]
