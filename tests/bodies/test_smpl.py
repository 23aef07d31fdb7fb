"""SMPL out of made-up official files: the paper's equations, the smplx package, and what is refused."""

import os
from dataclasses import replace

import numpy as np
import pytest
import roma
import torch
from official import (
    PLACES,
    as_published,
    coco_regressor,
    h36m_regressor,
    mano,
    posed_slowly,
    random_people,
    write_downsampling,
    write_pickle,
)
from official import smpl as made_up

from mpt import bodies, checkpoint
from mpt.bodies import smpl
from mpt.bodies.anny import random_pose
from mpt.bodies.retarget import retarget
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.errors import InputError
from mpt.mocap import Motion
from mpt.mocap.amass import JOINTS, rest_joints
from mpt.modeling.mesh_transformer import PAPER
from mpt.recipes.draws import PairDraw, PoseDraw, PosesConfig, with_people
from mpt.recipes.prepare import prepare_mocap
from mpt.recipes.pretrain import PretrainConfig, pretrain
from mpt.skeletons import COCO17, H36M17, LSP14, SMPL24

PRE_TRAINING = PretrainConfig(
    model=replace(
        PAPER, inputs="coordinates", hidden=(8,), layers=1, heads=2, upsampler="sparse",
        heatmap_size=32, coarse_vertices=60,
    ),
    samples=12, batch_size=4, validation_samples=2, validate_every=3, log_every=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def model():
    return made_up()


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory):
    """SMPL_FEMALE.pkl as published, METRO's file for it, both H36M regressors, and the body file of all."""
    folder = tmp_path_factory.mktemp("smpl")
    write_pickle(folder / "SMPL_FEMALE.pkl", as_published(model))
    write_downsampling(folder / "mesh_downsampling.npz", (smpl.VERTICES, 300, 60))
    np.save(folder / "J_regressor_h36m_correct.npy", h36m_regressor(model, "right"))
    np.save(folder / "J_regressor_h36m.npy", h36m_regressor(model, "left"))
    smpl.build(
        folder / "SMPL_FEMALE.pkl",
        folder / "smpl.safetensors",
        h36m_regressor=folder / "J_regressor_h36m.npy",
        downsampling=folder / "mesh_downsampling.npz",
    )
    return folder


@pytest.fixture(scope="module")
def body(folder):
    return bodies.load(folder / "smpl.safetensors")


def pose(body, rotvec, betas, trans):
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec)).to(body.template.dtype)
    return body(rotations, torch.from_numpy(betas).to(rotations), torch.from_numpy(trans).to(rotations))


def test_posing_follows_the_papers_equations(body, model):
    people = random_people(3, 24)
    posed = pose(body, *people)
    for n, person in enumerate(zip(*people)):
        vertices, joints = posed_slowly(model, *person)
        np.testing.assert_allclose(posed.vertices[n], vertices, atol=1e-5)
        np.testing.assert_allclose(posed.heads[n], joints, atol=1e-5)


def test_smpl_s_own_joints_are_regressed_from_any_mesh(body, model):
    posed = pose(body, *random_people(3, 24))
    expected = np.einsum("jv,nvc->njc", model["J_regressor"], posed.vertices)
    np.testing.assert_allclose(body.regress(posed.vertices, "smpl24"), expected, atol=1e-5)
    rest = body.rest(torch.zeros(1, 10))
    torch.testing.assert_close(body.regress(rest.vertices, "smpl24"), rest.heads, rtol=0, atol=1e-5)


def test_posing_agrees_with_the_smplx_package(body, model):
    smplx = pytest.importorskip("smplx")
    rotvec, betas, trans = people = random_people(4, 24, seed=2)
    theirs = smplx.SMPL("", data_struct=smplx.utils.Struct(**model), batch_size=4, dtype=torch.float64)(
        global_orient=torch.from_numpy(rotvec[:, 0]),
        body_pose=torch.from_numpy(rotvec[:, 1:]).flatten(1),
        betas=torch.from_numpy(betas),
        transl=torch.from_numpy(trans),
    )
    posed = pose(body, *people)
    torch.testing.assert_close(posed.vertices.double(), theirs.vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(posed.heads.double(), theirs.joints[:, :24], rtol=0, atol=1e-5)
    face = [theirs.joints[:, 24 + i] for i in (0, 2, 1, 4, 3)]  # theirs: nose, right before left
    torch.testing.assert_close(posed.joints[:, :5].double(), torch.stack(face, 1), rtol=0, atol=1e-5)


def test_gradients_agree_with_the_smplx_package(body, model):
    smplx = pytest.importorskip("smplx")
    rotvec, betas, _ = (torch.from_numpy(part).requires_grad_() for part in random_people(2, 24))
    layer = smplx.SMPL("", data_struct=smplx.utils.Struct(**model), batch_size=2, dtype=torch.float64)
    theirs = layer(global_orient=rotvec[:, 0], body_pose=rotvec[:, 1:].flatten(1), betas=betas)
    ours = body.to(dtype=torch.float64)(roma.rotvec_to_rotmat(rotvec), betas)
    probe = torch.randn(ours.vertices.shape, generator=torch.Generator().manual_seed(0)).double()
    for one, other in zip(
        torch.autograd.grad((ours.vertices * probe).sum(), (rotvec, betas)),
        torch.autograd.grad((theirs.vertices * probe).sum(), (rotvec, betas)),
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5 * float(other.abs().max()))


def test_gradients_flow_to_pose_and_shape(body):
    few = body.to(dtype=torch.float64).subset(torch.tensor([5, 3000, 6889]))
    rotvec, betas, _ = (torch.from_numpy(part[:1]) for part in random_people(1, 24))
    inputs = (rotvec.requires_grad_(), betas.requires_grad_())
    assert torch.autograd.gradcheck(lambda turn, shape: few(roma.rotvec_to_rotmat(turn), shape), inputs)


def test_the_face_is_some_vertices_and_the_limbs_are_its_joints(body, model):
    rest = body.rest(torch.zeros(1, 10))
    at = dict(zip(COCO17.joints, rest.joints[0].numpy()))
    for joint, vertex in (("nose", 332), ("left_eye", 2800), ("right_ear", 4071)):
        np.testing.assert_allclose(at[joint], model["v_template"][vertex], atol=1e-6)
    for joint in ("left_wrist", "right_ankle", "left_hip"):
        np.testing.assert_allclose(at[joint], PLACES[joint], atol=1e-5)
    assert body.bones == SMPL24.joints and body.parents == SMPL24.parents


def test_the_body_file_says_whose_it_is(body, folder, model):
    assert (body.name, body.metadata["gender"]) == ("smpl-female", "female")
    for name in ("basicModel_f_lbs_10_207_0_v1.0.0.pkl", "basicmodel_m_lbs_10_207_0_v1.1.0.pkl", "model.pkl"):
        (folder / name).symlink_to(folder / "SMPL_FEMALE.pkl")
    names = [smpl.read(path).name for path in sorted(folder.glob("*asic*.pkl"))]
    assert names == ["smpl-female", "smpl-male"]
    assert smpl.read(folder / "model.pkl").name == "smpl-neutral"
    assert smpl.read(folder / "model.pkl", gender="male").name == "smpl-male"


def test_an_npz_file_gives_the_same_body_as_the_pickle(body, model, tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **model, gender="neutral")
    other = smpl.read(tmp_path / "SMPL_NEUTRAL.npz")
    for name in ("template", "faces", "shape_basis", "pose_basis", "heads", "heads_basis", "skin_weight"):
        assert torch.equal(getattr(other, name), getattr(body, name)), name


def test_only_the_first_ten_shapes_are_kept(model, tmp_path):
    shapedirs = np.concatenate([model["shapedirs"], np.ones((smpl.VERTICES, 3, 6))], 2)
    np.savez(tmp_path / "smpl.npz", **model | {"shapedirs": shapedirs})
    np.testing.assert_array_equal(
        smpl.read(tmp_path / "smpl.npz").shape_basis, model["shapedirs"].transpose(2, 0, 1).astype(np.float32)
    )


# ------------------------------------------------------------------------------------- joints of Human3.6M


def test_both_orders_of_the_h36m_regressor_give_the_same_joints(body, folder, model):
    template = torch.from_numpy(model["v_template"])
    orders = [
        smpl.read_h36m_regressor(folder / name, template)
        for name in ("J_regressor_h36m_correct.npy", "J_regressor_h36m.npy")
    ]
    assert torch.equal(*orders)
    posed = body.regress(body.template[None], "h36m17")[0]
    for joint in ("right_hip", "left_knee", "right_ankle", "left_wrist", "head_top"):
        np.testing.assert_allclose(posed[H36M17.index(joint)], PLACES[joint], atol=1e-5)
    reported = smpl.h36m17_to_lsp14(posed)
    for joint in ("right_ankle", "left_hip", "neck", "head_top"):
        np.testing.assert_allclose(reported[LSP14.index(joint)], PLACES[joint], atol=1e-5)


def test_coco_s_joints_are_those_of_its_regressor(model, tmp_path):
    np.savez(tmp_path / "SMPL_NEUTRAL.npz", **model)
    np.save(tmp_path / "coco.npy", coco_regressor(model))
    body = smpl.read(tmp_path / "SMPL_NEUTRAL.npz", coco_regressor=tmp_path / "coco.npy")
    assert (
        body.metadata["coco_regressor"]
        and not smpl.read(tmp_path / "SMPL_NEUTRAL.npz").metadata["coco_regressor"]
    )
    posed = body(random_pose(body, 2, torch.Generator().manual_seed(0)), torch.zeros(1, 10))
    expected = torch.from_numpy(coco_regressor(model)).float() @ posed.vertices
    torch.testing.assert_close(posed.joints, expected, atol=1e-5, rtol=0)
    swapped = coco_regressor(model)[COCO17.flip]
    np.save(tmp_path / "coco.npy", swapped)
    with pytest.raises(InputError, match=r"coco.npy: on the T-pose its joints do not stand as a person's"):
        smpl.read(tmp_path / "SMPL_NEUTRAL.npz", coco_regressor=tmp_path / "coco.npy")
    np.save(tmp_path / "coco.npy", swapped[:14])
    with pytest.raises(InputError, match=r"\(14, 6890\) where \(17, 6890\) was expected; name J_regressor_c"):
        smpl.read(tmp_path / "SMPL_NEUTRAL.npz", coco_regressor=tmp_path / "coco.npy")


@pytest.mark.parametrize("exchanged", [(11, 14), (10, 0), (2, 5)])
def test_a_regressor_whose_joints_stand_otherwise_is_refused(exchanged, model, tmp_path):
    regressor = h36m_regressor(model, "right")
    regressor[list(exchanged)] = regressor[list(exchanged[::-1])]
    np.save(tmp_path / "J.npy", regressor)
    with pytest.raises(InputError, match=r"J.npy: on the T-pose its joints do not stand as a person's"):
        smpl.read_h36m_regressor(tmp_path / "J.npy", torch.from_numpy(model["v_template"]))


def test_a_regressor_of_another_size_or_of_objects_is_refused(model, tmp_path):
    template = torch.from_numpy(model["v_template"])
    np.save(tmp_path / "J.npy", np.zeros((14, 6890)))
    with pytest.raises(InputError, match=r"J.npy: its shape is \(14, 6890\) where \(17, 6890\) was expected"):
        smpl.read_h36m_regressor(tmp_path / "J.npy", template)
    np.save(tmp_path / "J.npy", np.array([{}]))
    with pytest.raises(InputError, match=r"J.npy: cannot read it as an array of numbers"):
        smpl.read_h36m_regressor(tmp_path / "J.npy", template)


# ------------------------------------------------------------------------------------------- coarse meshes


def test_metros_coarse_meshes_are_read_as_they_are(body, folder):
    assert [len(mesh) for mesh in body.coarse] == [60, 300]
    with np.load(folder / "mesh_downsampling.npz", allow_pickle=True) as file:
        first, second = file["D"]
        up_first, up_second = file["U"]
        faces = file["F"]
    vertices = body.template.double().numpy()
    few, more = body.coarse
    np.testing.assert_array_equal(vertices[more.index], first @ vertices)
    np.testing.assert_array_equal(vertices[few.index], second @ (first @ vertices))
    points = np.random.default_rng(0).normal(size=(60, 3))
    expected = up_first @ (up_second @ points)
    expected[few.index] = points
    np.testing.assert_allclose(few.upsample(torch.from_numpy(points)), expected, atol=1e-5)
    np.testing.assert_array_equal(few.faces, faces[2])


def test_coarse_meshes_of_another_body_are_refused(folder):
    with pytest.raises(InputError, match=r"level 1 are \(300, 6890\) and \(6890, 300\) for a mesh of 778"):
        smpl.read_downsampling(folder / "mesh_downsampling.npz", 778)
    with pytest.raises(InputError, match=r"female.pkl: it lacks U and D|SMPL_FEMALE.pkl: it lacks U and D"):
        smpl.read_downsampling(folder / "SMPL_FEMALE.pkl", 6890)


# ------------------------------------------------------------------------------------------- motion on SMPL


def amass_motion(frames: int = 5) -> Motion:
    rest, parents = rest_joints(), SMPL24.parents[:22]
    offsets = [rest[joint] - (rest[parent] if joint else 0) for joint, parent in enumerate(parents)]
    rotvec = np.random.default_rng(3).normal(0, 0.5, (frames, 22, 3))
    return Motion(
        "walk", "s1", 30, JOINTS, np.array(parents), np.array(offsets), rotvec, np.zeros((frames, 3))
    )


def test_amass_goes_to_smpl_bone_by_bone(body):
    motion = amass_motion()
    bones, rotvec = retarget(motion, body)
    assert bones == body.moving_bones == JOINTS
    np.testing.assert_array_equal(rotvec, motion.rotvec)


def test_other_motion_goes_to_smpl_by_the_directions_of_its_limbs(body):
    motion = amass_motion()
    renamed = Motion(
        "walk", "s1", 30, tuple(f"bip_{joint}" for joint in JOINTS), motion.parents, motion.offsets,
        motion.rotvec, motion.trans,
    )  # fmt: skip
    _, rotvec = retarget(renamed, body)
    apart = roma.rotmat_geodesic_distance(
        *(roma.rotvec_to_rotmat(torch.from_numpy(some)) for some in (rotvec, motion.rotvec))
    )
    assert apart.max() < 1e-6  # the made-up body rests as the reader of AMASS has it


def test_smpl_is_synthesized_with_its_hands_at_rest(body):
    bones = body.moving_bones
    synthesize = Synthesizer(
        body, bones, SyntheticConfig(fine_vertices=20), inputs="joints", coarse_vertices=60, heatmap_size=64
    )
    rotvec = torch.from_numpy(amass_motion(6).rotvec).float()
    batch = synthesize(rotvec, torch.Generator().manual_seed(0))
    assert batch.seen.shape == (6, 17, 2, 64) and batch.coarse.shape == (6, 60, 3)
    assert batch.vertices.isfinite().all()
    whole = torch.eye(3).repeat(6, 24, 1, 1)
    whole[:, :22] = roma.rotvec_to_rotmat(rotvec)
    shape = body.sample_shapes(6, torch.Generator().manual_seed(1))
    for short, full in zip(synthesize.body(whole[:, :22], shape), body(whole, shape)):
        torch.testing.assert_close(short, full[:, : short.shape[1]], rtol=0, atol=1e-5)


@pytest.fixture(scope="module")
def amass_store(folder, body):
    """Four people of AMASS, z up: women and men who train, one of unknown shape, one kept for validation."""
    rng = np.random.default_rng(4)
    for person, gender in (("a", "female"), ("b", "male"), ("c", "female"), ("d", "male")):
        path = folder / "amass" / "KIT" / person / "walk_poses.npz"
        path.parent.mkdir(parents=True)
        shape = {} if person == "c" else {"betas": np.full(16, "abcd".index(person) + 1.0)}
        np.savez(path, poses=rng.normal(0, 0.3, (20, 156)), trans=np.zeros((20, 3)),
                 gender=np.array(gender.encode()), mocap_framerate=60.0, **shape)  # fmt: skip
    prepare_mocap([folder / "amass"], folder / "amass.store", body=body, validation=["d"])
    return PoseStore(folder / "amass.store", body=body)


def test_amass_poses_are_stored_with_betas_and_gender(amass_store, folder):
    assert [s.gender for s in amass_store.sequences] == ["female", "male", "female", "male"]
    np.testing.assert_array_equal(amass_store.betas[:, 0], [1, 2, np.nan, 4])
    with np.load(folder / "amass" / "KIT" / "a" / "walk_poses.npz") as file:
        poses = file["poses"][::2, 3:66].reshape(-1, 21, 3)
    stored = amass_store.rotvec(amass_store.sequence() == 0)[:, 1:]
    calm = np.linalg.norm(poses, axis=2) < np.radians(90)  # beyond, heads, hands and feet are put back
    np.testing.assert_allclose(np.where(calm[..., None], stored - poses, 0), 0, atol=2e-3)


def test_shapes_are_those_of_the_people_who_train(amass_store, body):
    def drawn(gender):
        someone = replace(body, metadata=body.metadata | {"gender": gender})
        return {shape[0].item() for shape in with_people(someone, amass_store).sample_shapes(50)}

    assert drawn("neutral") == {1, 2} and drawn("female") == {1} and drawn("male") == {2}
    anny = bodies.load("anny")
    assert with_people(anny, amass_store) is anny


@pytest.mark.parametrize("gender", ["neutral", "female", "male"])
def test_each_pose_is_drawn_with_the_betas_of_its_own_sequence(amass_store, body, gender):
    own = {"neutral": (1, 2, np.nan), "female": (1, np.nan, np.nan), "male": (np.nan, 2, np.nan)}[gender]
    someone = replace(body, metadata=body.metadata | {"gender": gender})
    poses = amass_store.rotvec(amass_store.train)
    expected = np.array(own)[amass_store.sequence(amass_store.train)]
    known = {pose.tobytes(): shape for pose, shape in zip(poses, expected)}
    from_store = (amass_store, someone, PosesConfig(), 0, torch.device("cpu"))
    for draw in (PoseDraw(*from_store), PairDraw(*from_store, views=4)):
        drawn = draw(200, torch.Generator().manual_seed(0), 0)
        shapes = np.array([known[pose.tobytes()] for pose in drawn.rotvec.numpy()])
        np.testing.assert_array_equal(drawn.shape, np.repeat(shapes[:, None], 10, 1))
        assert len(np.unique(shapes, equal_nan=True)) == len(set(map(str, own)))


def test_pre_training_poses_each_pose_with_its_own_betas(amass_store, folder, monkeypatch):
    given, call = [], Synthesizer.__call__

    def remember(self, rotvec, generator=None, **how):
        given.append((rotvec, how.get("shape")))
        return call(self, rotvec, generator, **how)

    monkeypatch.setattr(Synthesizer, "__call__", remember)
    config = replace(PRE_TRAINING, body=str(folder / "smpl.safetensors"), samples=40, batch_size=40)
    pretrain(config, amass_store.path, folder / "drawn", device="cpu")
    rotvec, shape = given[0]
    women = {pose.tobytes() for pose in amass_store.rotvec(amass_store.sequence() == 0)}  # of known shape
    expected = [1 if pose.tobytes() in women else np.nan for pose in rotvec.numpy()]
    assert 0 < np.nansum(expected) < 40
    np.testing.assert_array_equal(shape[:, 0], expected)


def test_pre_training_runs_on_smpl(amass_store, folder):
    config = replace(PRE_TRAINING, body=str(folder / "smpl.safetensors"))
    run = pretrain(config, amass_store.path, folder / "run", device="cpu")
    assert checkpoint.load(run / "model.safetensors").transformer.config == config.model


# ------------------------------------------------------------------------------------------------ refusals


def test_another_model_is_refused_by_its_name(tmp_path):
    path = write_pickle(tmp_path / "model.pkl", mano())
    with pytest.raises(InputError, match=r"model.pkl: it has 778 vertices and 16 joints, which is MANO, "
                       r"where SMPL with 6890 and 24 was expected; use `mpt prepare body mano`"):  # fmt: skip
        smpl.build(path, tmp_path / "out")
    tiny = {key: np.zeros(1) for key in smpl.KEYS} | {"weights": np.zeros((6890, 52))}
    with pytest.raises(InputError, match=r"which is SMPL-H, where SMPL .*download SMPL from https://smpl"):
        smpl.build(write_pickle(path, tiny), tmp_path / "out")
    with pytest.raises(InputError, match="3 vertices and 2 joints, which is no model known here"):
        smpl.build(write_pickle(path, tiny | {"weights": np.zeros((3, 2))}), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"weights": None, "f": None}, r"it lacks f, weights, an SMPL model has v_template, f, .*; download"),
        ({"posedirs": np.zeros((6890, 3, 9))}, r"'posedirs' is of shape \(6890, 3, 9\) where"),
        ({"v_template": np.full((6890, 3), np.nan)}, "'v_template' holds no array of finite numbers"),
        ({"J_regressor": np.array(["a"])}, "'J_regressor' holds no array of finite numbers"),
        ({"f": np.array([[0, 1, 6890]])}, "its faces name vertices beyond its 6890"),
        ({"kintree_table": np.zeros((2, 24), int)}, "its joints hang together otherwise than SMPL's"),
    ],
)
def test_a_model_that_is_not_whole_is_refused(change, sentence, model, tmp_path):
    small = model | {"posedirs": np.zeros((6890, 3, 207), np.float16)}
    kept = {key: value for key, value in (small | change).items() if value is not None}
    path = write_pickle(tmp_path / "SMPL.pkl", kept)
    with pytest.raises(InputError, match=rf"SMPL.pkl: {sentence}"):
        smpl.read(path)


def test_a_model_cut_short_leaves_nothing_behind(folder, tmp_path):
    whole = (folder / "SMPL_FEMALE.pkl").read_bytes()
    (tmp_path / "SMPL_NEUTRAL.pkl").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"SMPL_NEUTRAL.pkl: it is no whole pickle"):
        smpl.build(tmp_path / "SMPL_NEUTRAL.pkl", tmp_path / "out.safetensors")
    assert os.listdir(tmp_path) == ["SMPL_NEUTRAL.pkl"]
