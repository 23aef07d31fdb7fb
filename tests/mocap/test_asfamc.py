"""ASF/AMC: bones with their own axes and missing degrees of freedom, against scipy and CMU's clips."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from mpt.errors import InputError
from mpt.mocap import read
from mpt.mocap.asfamc import read_amc

# name, parent, direction, length, axis in degrees, degrees of freedom
BONES = (
    ("lfemur", "root", (0.3, -0.9, 0.1), 9.0, (0, 0, 20), "rx ry rz"),
    ("lfoot", "lfemur", (0.1, -0.9, 0.2), 8.0, (10, -30, 20), "rx rz"),
    ("rfemur", "root", (-0.3, -0.9, 0.1), 9.0, (0, 0, -20), "rz rx"),
    ("rfoot", "rfemur", (-0.1, -0.9, 0.2), 8.0, (10, 30, -20), "ry"),
    ("head", "thorax", (0.0, 1.0, 0.1), 5.0, (15, 25, -35), "rx ry rz"),  # before its parent
    ("thorax", "root", (0.0, 1.0, -0.1), 5.0, (0, 0, 0), ""),
)
UNIT = 0.0254 / 0.45


def asf_text(angle: str = "deg", axis_order: str = "XYZ", length: str = "0.45") -> str:
    turn = np.degrees if angle == "deg" else np.asarray
    lines = [
        "# made for a test", ":version 1.10", ":units", f"  length {length}", f"  angle {angle}",
        ":documentation", "  none", ":root", "  order TX TY TZ RX RY RZ", "  axis XYZ",
        "  position 0 0 0", "  orientation 0 0 0", ":bonedata",
    ]  # fmt: skip
    for number, (name, _, direction, size, axis, dof) in enumerate(BONES, 1):
        written = " ".join(f"{x:.12g}" for x in turn(np.radians(axis)))
        lines += ["  begin", f"    id {number}", f"    name {name}"]
        lines += [f"    direction {' '.join(map(str, direction))}", f"    length {size}"]
        lines += [f"    axis {written}  {axis_order}", *([f"    dof {dof}"] if dof else [])]
        lines += ["    limits (-160.0 20.0)", "           (-70.0 70.0)", "  end"]
    lines += [
        ":hierarchy",
        "  begin",
        "    root lfemur rfemur thorax",
        "    lfemur lfoot",
        "    rfemur rfoot",
    ]
    return "\n".join([*lines, "    thorax head", "  end", ""])


def amc_text(angles: dict[str, np.ndarray], places: np.ndarray, degrees: bool = True) -> str:
    """``angles`` (T, dofs) of each bone, in radians."""
    lines = ["#!made for a test", ":FULLY-SPECIFIED", ":DEGREES" if degrees else ":RADIANS"]
    for frame, place in enumerate(places):
        lines.append(str(frame + 1))
        for bone, values in angles.items():
            value = np.degrees(values[frame]) if degrees else values[frame]
            value = [*place, *value] if bone == "root" else value
            lines.append(" ".join([bone, *(f"{x:.12g}" for x in value)]))
    return "\n".join([*lines, ""])


def random_clip(frames: int = 4):
    """Angles and places, and where each bone begins and ends, by scipy, bone by bone, in metres."""
    generator = np.random.default_rng(0)
    angles = {"root": generator.uniform(-2, 2, (frames, 3))}
    angles |= {name: generator.uniform(-2, 2, (frames, len(dof.split()))) for name, *_, dof in BONES if dof}
    places = generator.normal(size=(frames, 3)) * 10
    world = {"root": Rotation.from_euler("xyz", angles["root"])}
    ends = {"root": places * UNIT}
    starts = {"root": ends["root"]}
    for name, parent, direction, size, axis, dof in sorted(BONES, key=lambda bone: bone[0] == "head"):
        local = Rotation.identity(frames)
        for k, kind in enumerate(dof.split()):
            local = Rotation.from_euler(kind[1], angles[name][:, [k]]) * local
        frame = Rotation.from_euler("xyz", axis, degrees=True)
        world[name] = world[parent] * frame * local * frame.inv()
        starts[name] = ends[parent]
        rest = np.array(direction) / np.linalg.norm(direction) * size * UNIT
        ends[name] = starts[name] + world[name].apply(rest)
    leaves = {f"{name}_end": ends[name] for name in ("lfoot", "rfoot", "head")}
    return angles, places, starts | leaves


@pytest.mark.parametrize("asf_angle", ["deg", "rad"])
@pytest.mark.parametrize("degrees", [True, False])
def test_bones_are_where_scipy_puts_them_one_by_one(tmp_path, asf_angle, degrees):
    angles, places, expected = random_clip()
    (tmp_path / "07.asf").write_text(asf_text(asf_angle))
    (tmp_path / "07_02.amc").write_text(amc_text(angles, places, degrees))
    motion = read(tmp_path / "07_02.amc")
    assert (motion.name, motion.subject, motion.fps) == ("07_02", "07", 120)
    assert set(motion.joints) == set(expected)
    positions = motion.positions()
    for joint, place in expected.items():
        np.testing.assert_allclose(positions[:, motion.joints.index(joint)], place, atol=1e-9)


def test_the_skeletons_unit_is_the_one_that_makes_a_person(tmp_path):
    angles, places, _ = random_clip()
    (tmp_path / "07.asf").write_text(asf_text())
    (tmp_path / "07_02.amc").write_text(amc_text(angles, places))
    inches = read(tmp_path / "07_02.amc")
    (tmp_path / "07.asf").write_text(asf_text(length="0.177165354"))  # the same numbers as centimetres
    centimetres = read(tmp_path / "07_02.amc")
    np.testing.assert_allclose(centimetres.offsets, inches.offsets, rtol=1e-6)
    np.testing.assert_allclose(read(tmp_path / "07_02.amc", scale=1).offsets, inches.offsets / UNIT)


def test_the_axis_order_is_the_one_written(tmp_path):
    angles, places, _ = random_clip()
    (tmp_path / "07.asf").write_text(asf_text(axis_order="ZYX"))
    (tmp_path / "07_02.amc").write_text(amc_text(angles, places))
    motion = read(tmp_path / "07_02.amc")
    frame = Rotation.from_euler("zyx", (10, -30, 20), degrees=True)
    turn = Rotation.from_euler("xz", angles["lfoot"])
    expected = (frame * turn * frame.inv()).as_matrix()
    ours = Rotation.from_rotvec(motion.rotvec[:, motion.joints.index("lfoot")]).as_matrix()
    np.testing.assert_allclose(ours, expected, atol=1e-9)


@pytest.mark.parametrize("skeleton", ["07_02.asf", "07.asf", "07.ASF", "actor.asf"])
def test_a_motion_finds_its_skeleton_beside_it(tmp_path, skeleton):
    angles, places, _ = random_clip()
    (tmp_path / skeleton).write_text(asf_text())
    if skeleton != "actor.asf":
        (tmp_path / "other.asf").write_text("not this one")
    (tmp_path / "07_02.AMC").write_text(amc_text(angles, places))
    assert len(read(tmp_path / "07_02.AMC")) == 4


def test_of_several_skeletons_the_one_whose_name_the_motions_begins_with_is_taken(tmp_path):
    angles, places, _ = random_clip()
    for name in ("HDM_mm", "HDM_b", "HDM"):
        (tmp_path / f"{name}.asf").write_text("not this one")
    (tmp_path / "HDM_bd.asf").write_text(asf_text())
    (tmp_path / "HDM_bd_01-01_01_120.amc").write_text(amc_text(angles, places))
    (tmp_path / "HDM_bd_01-01_01_60.amc").write_text(amc_text(angles, places))
    assert len(read(tmp_path / "HDM_bd_01-01_01_120.amc")) == 4
    assert [read(path).fps for path in sorted(tmp_path.glob("*.amc"))] == [120, 60]


def test_the_skeleton_may_be_given(tmp_path):
    angles, places, _ = random_clip()
    (tmp_path / "skeletons").mkdir()
    (tmp_path / "skeletons" / "a.asf").write_text(asf_text())
    (tmp_path / "07_02.amc").write_text(amc_text(angles, places))
    motion = read_amc(tmp_path / "07_02.amc", tmp_path / "skeletons" / "a.asf", fps=60)
    assert (len(motion), motion.fps) == (4, 60)


def edited(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


def refusal(tmp_path, asf: str, amc: str, message: str) -> None:
    (tmp_path / "07.asf").write_text(asf)
    path = tmp_path / "07_02.amc"
    path.write_text(amc)
    with pytest.raises(InputError, match=message) as error:
        read(path)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "is empty"),
        (lambda t: "Dear all,\nno motion here\n", "moves 'Dear'"),
        (lambda t: t[: t.index("\n1\n") + 1], "no frames"),
        (lambda t: edited(t, "\n1\n", "\n"), "begins in the middle of a frame"),
        (lambda t: t.rstrip().rpartition("\n")[0], "frame 4 of 4 holds 5 of 6 bones"),
        (lambda t: t.rstrip().rpartition(" ")[0], "head in frame 4 holds"),
        (lambda t: t.rstrip().rpartition(" ")[0] + " nan\n", "head in frame 4 holds.*nan"),
        (lambda t: t.rstrip().rpartition(" ")[0] + " 1.#QNAN\n", "head in frame 4 holds.* 1.#QNAN'"),
        (lambda t: t.rstrip().rpartition(" ")[0] + " 1e30\n", "1e30' where . number.* below 100,000,000"),
        (lambda t: edited(t, "rfoot", "tail"), "moves 'tail', which its skeleton lacks"),
    ],
)
def test_a_broken_amc_is_refused_in_one_sentence(tmp_path, change, message):
    angles, places, _ = random_clip()
    refusal(tmp_path, asf_text(), change(amc_text(angles, places)), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: "", "07.asf is no use, as it is empty"),
        (lambda t: "Dear all,\nno skeleton here\n", "lacks :root, :bonedata, :hierarchy"),
        (lambda t: t[: t.index(":hierarchy")], "lacks :hierarchy"),
        (lambda t: edited(t, "dof rx ry rz", "dof rx why"), "degrees of freedom of lfemur"),
        (lambda t: edited(t, "length 9.0", "length nine"), "length of lfemur"),
        (lambda t: edited(t, "direction 0.3 -0.9 0.1", "direction 0.3 -0.9"), "direction of lfemur"),
        (lambda t: edited(t, "20  XYZ", "20  XXX"), "axis order of lfemur"),
        (lambda t: edited(t, "length 0.45", "length 0"), "unit of length"),
        (lambda t: edited(t, "    lfemur lfoot\n", ""), "'lfoot' has no parent"),
        (lambda t: edited(t, "root lfemur rfemur thorax", "root rfemur thorax\n lfoot lfemur"), "ring"),
        (lambda t: edited(t, "length 0.45", "length 45"), "units tall"),
        (lambda t: edited(t, "name rfoot", "name lfoot"), "two bones are called 'lfoot'"),
    ],
)
def test_a_broken_asf_is_refused_in_one_sentence(tmp_path, change, message):
    angles, places, _ = random_clip()
    refusal(tmp_path, change(asf_text()), amc_text(angles, places), message)


def test_an_amc_without_its_asf_says_what_to_put_beside_it(tmp_path):
    angles, places, _ = random_clip()
    path = tmp_path / "07_02.amc"
    path.write_text(amc_text(angles, places))
    with pytest.raises(InputError, match=r"07_02\.asf or 07\.asf was expected beside it"):
        read(path)
    for name in ("a.asf", "b.asf"):
        (tmp_path / name).write_text(asf_text())
    with pytest.raises(InputError, match="2 skeletons of other names"):
        read(path)


def test_an_asf_without_an_amc_says_that_it_does_not_move(tmp_path):
    (tmp_path / "07.asf").write_text(asf_text())
    with pytest.raises(InputError, match="skeleton without motion"):
        read(tmp_path / "07.asf")


@pytest.mark.parametrize("clip", ["02/02_01", "127/127_01", "16/16_15"])
def test_raw_cmu_files_equal_their_npz(shared_data, clip):
    motion = read(shared_data / "mocap" / "raw" / f"{clip.partition('/')[2]}.amc").resampled(30)
    truth = read(shared_data / "mocap" / "cmu" / f"{clip}.npz")
    assert motion.joints == truth.joints
    assert motion.subject == truth.subject
    np.testing.assert_array_equal(motion.parents, truth.parents)
    np.testing.assert_allclose(motion.positions(), truth.positions(), atol=1e-5)  # metres
    np.testing.assert_allclose(motion.global_rotations(), truth.global_rotations(), atol=1e-5)
