"""Rigged files hold the body and its pose, as readers have it that are not ours."""

import itertools
import warnings

import bvh
import numpy as np
import pybvh
import pygltflib
import pytest
import trimesh
from official import random_people, write_pickle
from official import smpl as made_up_smpl
from posed import gltf_arrays, gltf_globals, posed_person, skinned_by_hand, validator_says
from scipy.spatial import cKDTree

from mpt.bodies import smpl
from mpt.bodies.pose import BodyPose
from mpt.errors import InputError
from mpt.mocap.bvh import read_bvh
from mpt.rigs.bvh import bvh as bvh_of
from mpt.rigs.fbx import check_bpy
from mpt.rigs.gltf import Lens, rigged
from mpt.rigs.names import fingers, mixamo
from mpt.rigs.rig import Place, rig_of
from mpt.rigs.skin import four_bones

MM = 1e-3
SIDES = ("left", "right")
TURN = np.array([[0.0, 0, 1], [0, -1, 0], [1, 0, 0]])  # camera axes -> y up, seen from another side
PLACE = Place(TURN, np.array([0.5, 1.1, -2.0]))
REST = ("a-pose", "t-pose")
NAMES = ("anny", "mixamo")


@pytest.fixture(scope="module")
def pose() -> BodyPose:
    return posed_person(1)


def heads(pose: BodyPose, place: Place = PLACE) -> dict[str, np.ndarray]:
    return dict(zip(pose.body.bones, place(pose.posed().transforms[:, :3, 3].astype(float))))


@pytest.mark.parametrize("rest", REST)
@pytest.mark.parametrize("names", NAMES)
def test_a_glb_skins_to_the_body_to_a_hundredth_of_a_millimetre(tmp_path, pose, names, rest):
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig_of(pose, PLACE, names=names, rest=rest)}))
    (vertices,) = skinned_by_hand(path)
    off = np.linalg.norm(vertices - PLACE(pose.posed().vertices), axis=1)
    assert off.mean() < 0.01 * MM and off.max() < 0.1 * MM


def test_a_glb_poses_as_the_body_does_in_another_pose(pose):
    """At most four bones to a vertex lose a fraction of a millimetre; some skin at the collars more."""
    rig = rig_of(pose, PLACE)
    other = pose.turned({"left_elbow": [0, -1.2, 0], "right_knee": [0.9, 0, 0], "finger2-1.L": [0.5, 0, 0]})
    again = rig_of(other, PLACE)
    off = np.linalg.norm(rig.vertices - again.vertices, axis=1)
    assert off.mean() < 0.1 * MM and np.quantile(off, 0.99) < 2 * MM


def test_weights_and_names_of_a_glb(tmp_path, pose):
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person0": rig_of(pose, PLACE, names="mixamo")}))
    file = pygltflib.GLTF2().load(str(path))
    joints = [file.nodes[joint].name for joint in file.skins[0].joints]
    assert len(joints) == 52 and joints[0] == "mixamorig:Hips" and "mixamorig:LeftHandThumb1" in joints
    assert {file.nodes[root].name for root in file.scenes[0].nodes} == {"person0", "person0 skin"}
    armature = gltf_globals(file)[[node.name for node in file.nodes].index("person0")]
    assert armature[1, 3] == 0  # it stands on the floor
    loaded = trimesh.load(path)
    assert len(loaded.geometry) == 1 and "mixamorig:Hips" in loaded.graph.nodes
    own = rig_of(pose, PLACE)
    assert set(pose.body.bones) - set(own.joints) == {"pelvis.L", "pelvis.R", "spine05"}  # as long as nothing
    assert own.skin_weight.shape[1] == 4


@pytest.mark.parametrize("names", NAMES)
def test_bones_lead_along_the_body_and_look_ahead(tmp_path, pose, names):
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig_of(pose, PLACE, names=names, rest="t-pose")}))
    file = pygltflib.GLTF2().load(str(path))
    bind = gltf_arrays(file, file.skins[0].inverseBindMatrices).reshape(-1, 4, 4).swapaxes(1, 2)
    rest = dict(zip((file.nodes[joint].name for joint in file.skins[0].joints), np.linalg.inv(bind)))
    called = mixamo(pose.body) if names == "mixamo" else {bone: bone for bone in pose.body.bones}
    joints = {role: rest[called[bone]] for role, bone in pose.body.roles.items()}
    for matrix in rest.values():
        np.testing.assert_allclose(matrix[:3, :3].T @ matrix[:3, :3], np.eye(3), atol=1e-5)
        assert np.linalg.det(matrix[:3, :3]) == pytest.approx(1, abs=1e-5)
    for limb, way in (("shoulder", [1, 0, 0]), ("elbow", [1, 0, 0]), ("knee", [0, -1, 0])):
        for side, out in zip(SIDES, ([1, 1, 1], [-1, 1, 1])):
            axes = joints[f"{side}_{limb}"][:3, :3]
            np.testing.assert_allclose(axes[:, 1], np.multiply(way, out), atol=0.15)  # twist bones
            assert axes[2, 2] > 0.97  # z ahead
    for part in ("pelvis", "spine1", "spine2", "neck", "head"):
        assert joints[part][1, 1] > 0.7
    for side in SIDES:
        assert joints[f"{side}_ankle"][2, 1] > 0.7  # feet lead ahead


def test_a_bone_that_a_pose_turns_is_kept_whatever_the_names(tmp_path, pose):
    turned = pose.turned({"metacarpal3.L": [0, 0.3, 0]})
    rig = rig_of(turned, PLACE, names="mixamo")
    assert "metacarpal3.L" in rig.joints
    assert "metacarpal3.L" in rig_of(turned, PLACE, all_bones=False).joints
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig}))
    np.testing.assert_allclose(skinned_by_hand(path)[0], PLACE(turned.posed().vertices), atol=0.1 * MM)


def test_the_files_camera_sees_the_mesh_where_the_photos_did(tmp_path, pose):
    focal, (width, height) = 700.0, (640, 480)
    at = np.array([0.3, -0.2, 4.0])  # where the mid-hip was photographed
    world = Place(TURN, np.array([0.1, 1.5, 0.2]))
    placed = Place(TURN, world(at))
    path = tmp_path / "person.glb"
    path.write_bytes(rigged({"person": rig_of(pose, placed)}, world, Lens(focal, (width, height))))
    file = pygltflib.GLTF2().load(str(path))
    lens = file.cameras[0].perspective
    number = next(i for i, node in enumerate(file.nodes) if node.camera == 0)
    seen_from = np.linalg.inv(gltf_globals(file)[number])
    x, y, z = (skinned_by_hand(path)[0] @ seen_from[:3, :3].T + seen_from[:3, 3]).T
    half = np.tan(lens.yfov / 2)
    u = (x / -z / half / lens.aspectRatio + 1) / 2 * width - 0.5
    v = (1 - y / -z / half) / 2 * height - 0.5
    there = pose.posed().vertices + at
    wanted = there[:, :2] / there[:, 2:] * focal + [(width - 1) / 2, (height - 1) / 2]
    np.testing.assert_allclose(np.column_stack([u, v]), wanted, atol=0.05)


@pytest.mark.parametrize("rest", REST)
@pytest.mark.parametrize("names", NAMES)
def test_bvh_has_the_joints_where_the_body_has_them_by_three_readers(tmp_path, pose, names, rest):
    path = tmp_path / "person.bvh"
    rig = rig_of(pose, PLACE, names=names, rest=rest, all_bones=False)
    path.write_bytes(bvh_of(rig))
    called = mixamo(pose.body) if names == "mixamo" else {bone: bone for bone in pose.body.bones}
    wanted = {called[bone]: place for bone, place in heads(pose).items() if bone in pose.body.moving_bones}
    assert set(rig.joints) == wanted.keys()

    with warnings.catch_warnings(action="error"):
        motion = read_bvh(path, scale=1.0, up="y")
    ours = dict(zip(motion.joints, motion.positions()[0]))
    theirs = pybvh.read_bvh_file(path)
    second = dict(zip(theirs.joint_names, theirs.joint_positions()[0]))
    plain = bvh.Bvh(path.read_text())
    for joint, place in wanted.items():
        np.testing.assert_allclose(ours[joint], place, atol=0.1 * MM)
        np.testing.assert_allclose(second[joint], place, atol=0.1 * MM)
        parent = plain.joint_parent(joint)
        if parent is not None and parent.name in wanted:
            length = np.linalg.norm(plain.joint_offset(joint))
            assert length == pytest.approx(np.linalg.norm(place - wanted[parent.name]), abs=0.1 * MM)


def test_centimetres_are_a_hundred_times_metres(tmp_path, pose):
    rig = rig_of(pose, PLACE, rest="t-pose", all_bones=False)
    for scale in ("m", "cm"):
        (tmp_path / f"{scale}.bvh").write_bytes(bvh_of(rig, scale))
    metres, centimetres = (pybvh.read_bvh_file(tmp_path / f"{scale}.bvh") for scale in ("m", "cm"))
    np.testing.assert_allclose(centimetres.joint_positions()[0], 100 * metres.joint_positions()[0], atol=1e-3)


def test_the_t_pose_is_one(pose):
    rig = rig_of(pose, PLACE, rest="t-pose")
    at = dict(zip(rig.joints, rig.heads))
    part = {role: at[bone] for role, bone in (fingers(pose.body) | pose.body.roles).items()}
    for side, out in zip(SIDES, (1, -1)):
        upper, fore, hand = (
            part[f"{side}_{end}"] - part[f"{side}_{start}"]
            for start, end in (("shoulder", "elbow"), ("elbow", "wrist"), ("wrist", "middle1"))
        )
        for limb in (upper, fore, hand):
            np.testing.assert_allclose(limb / np.linalg.norm(limb), [out, 0, 0], atol=2e-3)
        across = part[f"{side}_index1"] - part[f"{side}_pinky1"]
        assert abs(across[1]) < 1e-6 < across[2]  # palms down, the thumbs ahead
        for start, end in (("hip", "knee"), ("knee", "ankle")):
            limb = part[f"{side}_{end}"] - part[f"{side}_{start}"]
            np.testing.assert_allclose(limb / np.linalg.norm(limb), [0, -1, 0], atol=1e-6)
        toes = (part[f"{side}_toe"] - part[f"{side}_ankle"]) * [1, 0, 1]
        np.testing.assert_allclose(toes / np.linalg.norm(toes), [0, 0, 1], atol=1e-6)
    palm = rig.vertices[pose.body.parts["hand.L"].numpy()]
    assert np.ptp(palm[:, 1]) < 0.6 * np.ptp(palm[:, 0])
    own = rig_of(pose, PLACE)
    lengths, wanted = (np.linalg.norm(each.offsets[1:], axis=1) for each in (rig, own))
    np.testing.assert_allclose(lengths, wanted, atol=0.01 * MM)
    for standing in (rig, own):
        assert standing.vertices[:, 1].min() == pytest.approx(0, abs=2 * MM)


def test_a_hand_has_bones_and_neither_t_pose_nor_mixamos_names(tmp_path):
    hand = posed_person(2, "anny-hand")
    path = tmp_path / "hand.glb"
    path.write_bytes(rigged({"hand": rig_of(hand, PLACE)}))
    np.testing.assert_allclose(skinned_by_hand(path)[0], PLACE(hand.posed().vertices), atol=0.1 * MM)
    (tmp_path / "hand.bvh").write_bytes(bvh_of(rig_of(hand, PLACE, all_bones=False)))
    theirs = pybvh.read_bvh_file(tmp_path / "hand.bvh")
    wanted = heads(hand)
    for joint, place in zip(theirs.joint_names, theirs.joint_positions()[0]):
        np.testing.assert_allclose(place, wanted[joint], atol=0.1 * MM)
    with pytest.raises(InputError, match=r"^anny-hand has no arms and legs, and no T-pose: take its own"):
        rig_of(hand, PLACE, rest="t-pose")
    with pytest.raises(InputError, match=r"^mixamo has names for people's bones, and anny-hand gives hands"):
        rig_of(hand, PLACE, names="mixamo")


def test_unknown_names_and_rests_are_refused(pose):
    with pytest.raises(InputError, match="no set of names is called 'vrm': take anny"):
        rig_of(pose, PLACE, names="vrm")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="no rest pose is called 'sitting': take t-pose, or a-pose"):
        rig_of(pose, PLACE, rest="sitting")  # type: ignore[arg-type]


def test_fbx_without_blender_is_refused_in_a_sentence(monkeypatch):
    monkeypatch.setattr("mpt.rigs.fbx._blender", lambda: None)
    with pytest.raises(InputError, match=r"bpy is not installed: run `pip install bpy` .* or write glb"):
        check_bpy()


def test_the_validator_of_gltf_is_silent(tmp_path, pose):
    rigs = {f"person{i}": rig_of(pose, PLACE, names=names) for i, names in enumerate(NAMES)}
    path = tmp_path / "both.glb"
    path.write_bytes(rigged(rigs, PLACE, Lens(700.0, (640, 480))))
    assert validator_says(path) == []


def test_a_smpl_body_is_a_rig_whose_skin_is_bent_as_smpl_bends_it(tmp_path):
    """Its pose blend shapes, which no rig has, are in the rest skin."""
    body = smpl.read(write_pickle(tmp_path / "SMPL_NEUTRAL.pkl", made_up_smpl()))
    rotvec, betas, place = (part[0].astype(np.float32) for part in random_people(1, 24))
    pose = BodyPose(body, rotvec, betas, place)
    path = tmp_path / "person.glb"
    for names, rest in itertools.product(NAMES, REST):
        path.write_bytes(rigged({"person": rig_of(pose, PLACE, names=names, rest=rest)}))
        np.testing.assert_allclose(skinned_by_hand(path)[0], PLACE(pose.posed().vertices), atol=0.1 * MM)


def test_a_persons_left_is_skinned_as_their_right(pose):
    """But for the middle, where four bones cannot be as many of the left as of the right."""
    body = pose.body
    index, weight = four_bones(body)
    dense = np.zeros((len(index), len(body.bones)))
    np.add.at(dense, (np.arange(len(index))[:, None], index), weight)
    template = body.template.numpy()
    _, mirror = cKDTree(template).query(template * [-1, 1, 1])
    across = {".L": ".R", ".R": ".L"}
    bones = [body.bones.index(bone[:-2] + across.get(bone[-2:], bone[-2:])) for bone in body.bones]
    aside = np.abs(template[:, 0]) > MM
    np.testing.assert_allclose(dense[mirror][:, bones][aside], dense[aside], atol=1e-4)


def test_a_left_hand_is_a_rig_whose_skin_looks_outwards(tmp_path):
    right = posed_person(3, "anny-hand")
    mirror = np.array([1, -1, -1], np.float32)
    left = BodyPose(right.body.mirrored(), right.rotvec * mirror, right.shape, right.translation_m)
    rig = rig_of(left, PLACE)
    path = tmp_path / "hand.glb"
    path.write_bytes(rigged({"hand": rig}))
    np.testing.assert_allclose(skinned_by_hand(path)[0], PLACE(left.posed().vertices), atol=0.1 * MM)
    for hand in (rig, rig_of(right, PLACE)):
        a, b, c = (hand.vertices[hand.faces[:, k]] for k in range(3))
        assert (a * np.cross(b, c)).sum() > 0  # the volume that the triangles close, seen from outside
