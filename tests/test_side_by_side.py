"""Models of COCO's 17 joints and of 29 with feet and hands, before networks and files of either."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from little_model import LITTLE, standing_joints, write_little_model

import mpt
from mpt import bodies, checkpoint, cli, demo, experiments, portable
from mpt.crops import Crop
from mpt.datasets.sample import Sample
from mpt.errors import InputError
from mpt.modeling.image_to_mesh import ImageToMesh
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.modeling.upright import look_upright
from mpt.pose2d.adapters import TopDown
from mpt.pose2d.finders import finder_for
from mpt.pose2d.keypoints import Keypoints
from mpt.pose2d.small import SmallHeatmapNet
from mpt.recipes.evaluate import evaluate_poses
from mpt.recipes.eyes import CropEye, FinderEye
from mpt.recipes.setting_up import body_for, take_weights
from mpt.reconstructor import Reconstructor
from mpt.render import Perspective, overlay_figure
from mpt.results import Seconds, as_json
from mpt.scenes import Subject
from mpt.skeletons import (
    BLAZEPOSE33,
    COCO17,
    COCO29,
    H36M17,
    HAND21,
    SKELETONS,
    arranged,
    begin_alike,
    core,
    of_count,
    remap,
)  # fmt: skip

SIZE, FOCAL = (640, 480), 800.0
PHOTO = np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[int, Reconstructor]:
    folder = tmp_path_factory.mktemp("models")
    return {
        len(SKELETONS[name]): mpt.load(write_little_model(folder / f"{name}.safetensors", name), device="cpu")
        for name in ("coco17", "coco29")
    }


@pytest.fixture(scope="module")
def whole() -> np.ndarray:
    return standing_joints((0.1, 0.2, 4.0), FOCAL, SIZE, "coco29")


@pytest.fixture(scope="module")
def body():
    return bodies.load()


# ----------------------------------------------------------------------------------------------- by name


def test_what_stands_for_joints_goes_by_name_and_is_zero_where_nobody_tells_it():
    values = np.arange(1.0, 30).reshape(29, 1) * [1, 10]
    np.testing.assert_array_equal(arranged(values, COCO29, COCO17), values[:17])
    back = arranged(values[:17], COCO17, COCO29)
    np.testing.assert_array_equal(back[:17], values[:17])
    assert (back[17:] == 0).all()
    shuffled = replace(COCO29, name="shuffled", joints=COCO29.joints[::-1])
    np.testing.assert_array_equal(arranged(values, COCO29, shuffled), values[::-1])
    np.testing.assert_array_equal(arranged(values.T, COCO29, shuffled, axis=1), values.T[:, ::-1])
    assert arranged(values, COCO29, COCO29) is values


def test_blazepose_s_landmarks_are_27_of_the_29():
    index = remap(BLAZEPOSE33, COCO29)
    lacking = {joint for joint, k in zip(COCO29.joints, index) if k < 0}
    assert lacking == {"left_small_toe", "right_small_toe"}
    at = {joint: BLAZEPOSE33.joints[k] for joint, k in zip(COCO29.joints, index) if k >= 0}
    assert (at["left_big_toe"], at["right_thumb_knuckle"]) == ("left_foot_index", "right_thumb")
    assert (at["left_index_knuckle"], at["right_pinky_knuckle"], at["left_heel"]) == (
        "left_index", "right_pinky", "left_heel",
    )  # fmt: skip


def test_skeletons_that_begin_alike_are_coco_s_two_and_no_others():
    alike = {(a.name, b.name) for a in SKELETONS.values() for b in SKELETONS.values() if begin_alike(a, b)}
    assert alike == {(name, name) for name in SKELETONS} | {("coco17", "coco29"), ("coco29", "coco17")}
    assert [core(skeleton) for skeleton in (COCO17, COCO29, HAND21)] == [COCO17, COCO17, HAND21]
    assert [of_count(count, COCO17) for count in (17, 29, 18)] == [COCO17, COCO29, COCO17]
    assert of_count(17, HAND21) == HAND21


# ------------------------------------------------------------------------------------------------ bodies


def test_a_body_with_fewer_joints_has_the_same_ones(body):
    torch.manual_seed(0)
    fewer = body.with_joints(COCO17)
    assert (fewer.skeleton, fewer.hash) == (COCO17, body.hash) and body.with_joints(COCO29) is body
    shape = 0.5 * torch.randn(3, body.shape_count)
    turns = torch.linalg.qr(torch.eye(3) + 0.2 * torch.randn(3, len(body.bones), 3, 3))[0]
    every, some = body(turns, shape), fewer(turns, shape)
    torch.testing.assert_close(some.joints, every.joints[:, :17])
    torch.testing.assert_close(fewer.regress(every.vertices), some.joints, rtol=0, atol=1e-4)
    small = fewer.with_bones(body.moving_bones).subset(torch.arange(5))
    assert small.rest(shape).joints.shape == (3, 17, 3)
    shuffled = replace(COCO17, name="shuffled", joints=COCO17.joints[::-1])
    turned = body.with_joints(shuffled)(turns, shape).joints
    torch.testing.assert_close(turned, some.joints.flip(1))
    assert bodies.load(skeleton="coco17").skeleton == COCO17


def test_joints_that_a_body_has_not_are_named():
    with pytest.raises(InputError, match=r"the joints of h36m17 were asked of anny, .* and no pelvis"):
        bodies.load(skeleton="h36m17")
    with pytest.raises(InputError, match="no skeleton is called 'coco18': there are coco17, coco29,"):
        bodies.load(skeleton="coco18")


# ---------------------------------------------------------------------------------------------- networks


def test_17_maps_before_a_model_of_29_are_29_of_which_twelve_are_empty(models, whole):
    model = models[29].model
    [person] = Keypoints(whole[:17], heatmap_size=56)(PHOTO)
    padded = torch.zeros(1, 29, 56, 56)
    padded[0, :17] = torch.from_numpy(person.heatmaps)
    said = look_upright(model.transformer, padded, model.skeleton)
    [found] = models[29].lift([person], SIZE, focal_px=FOCAL)
    own, expected = found.vertices - found.vertices[:1], said.vertices[0] - said.vertices[0, :1]
    np.testing.assert_allclose(np.linalg.norm(own, axis=1), expected.norm(dim=1), atol=1e-5)
    assert found.joints3d.shape == (29, 3) and found.skeleton == COCO29
    assert (found.joints2d_px[17:] == 0).all()  # nothing was seen of them


def test_missing_joints_and_joints_that_are_not_given_are_one(models, whole):
    missing = whole * np.where(np.arange(29) < 17, 1.0, 0)[:, None]
    [with_zeros] = models[29](PHOTO, keypoints=missing, focal_px=FOCAL)
    [without] = models[29](PHOTO, keypoints=whole[:17], focal_px=FOCAL)
    for name in ("vertices", "joints3d", "translation_m", "joints2d_px", "bbox_xywh"):
        np.testing.assert_allclose(getattr(without, name), getattr(with_zeros, name), rtol=1e-6, atol=1e-6)
    [seen] = models[29](PHOTO, keypoints=whole, focal_px=FOCAL)
    assert seen.crop == without.crop  # COCO's 17 frame a person
    assert not np.allclose(seen.vertices, without.vertices, atol=1e-5)  # feet and hands are looked at


def test_a_model_of_17_reads_them_out_of_29(models, whole):
    [of_29] = models[17](PHOTO, keypoints=whole, focal_px=FOCAL)
    [of_17] = models[17](PHOTO, keypoints=whole[:17], focal_px=FOCAL)
    for name in ("vertices", "joints3d", "translation_m", "joints2d_px", "score"):
        np.testing.assert_allclose(getattr(of_29, name), getattr(of_17, name), rtol=1e-6)
    assert of_29.skeleton == COCO17


def test_a_network_may_draw_any_order(models, whole):
    shuffled = replace(COCO29, name="shuffled", joints=COCO29.joints[::-1], parents=(-1,) * 29)
    [person] = Keypoints(whole, skeleton=COCO29, heatmap_size=56)(PHOTO)
    turned = replace(
        person,
        skeleton=shuffled,
        heatmaps=person.heatmaps[::-1].copy(),
        joints2d_px=person.joints2d_px[::-1].copy(),
    )
    both = models[29].lift([person, turned], SIZE)
    np.testing.assert_allclose(both[0].vertices, both[1].vertices, atol=1e-6)
    np.testing.assert_array_equal(both[0].joints2d_px, both[1].joints2d_px)


def test_maps_of_other_joints_than_said_or_read_are_refused(models, whole):
    [person] = Keypoints(whole, skeleton=COCO29, heatmap_size=56)(PHOTO)
    with pytest.raises(InputError, match="draws 29 joints, and says that they are the 17 of coco17"):
        models[29].lift([replace(person, skeleton=COCO17)], SIZE)
    hand = replace(person, skeleton=HAND21, heatmaps=person.heatmaps[:21], joints2d_px=whole[:21])
    with pytest.raises(InputError, match=r"draws 21 joints, and the model .* reads the 29 of coco29"):
        models[29].lift([hand], SIZE)
    with pytest.raises(InputError, match=r"expected \(people, 29, 3\): .* 17 COCO joints, or the 29 with"):
        models[29](PHOTO, keypoints=whole[:18])
    with pytest.raises(InputError, match="mpt-x was made for the joints of h36m17"):
        finder_for(H36M17, "mpt-x")
    assert finder_for(COCO17) == finder_for(COCO29) == "blazepose"


def test_a_top_down_network_says_what_it_draws_and_frames_by_the_body():
    def network(images):
        maps = torch.zeros(len(images), 29, 16, 16)
        maps[:, torch.arange(17), 4, torch.arange(17) // 2 + 2] = 0.9
        maps[:, 17:, 14, 14] = 1.0
        return maps

    region = type("Region", (), {"crop": Crop((60.0, 50.0), 64.0), "mirrored": False})()
    [person] = TopDown(network, detector=lambda _: [region], skeleton=COCO29, heatmap_size=56)(PHOTO)
    assert person.skeleton == COCO29 and person.heatmaps.shape == (29, 56, 56)
    assert person.score == pytest.approx(0.9)
    assert person.bbox_xywh[1] + person.bbox_xywh[3] < 60  # hands and feet lie below


def test_eyes_put_maps_in_the_model_s_order(whole):
    [person] = Keypoints(whole[:17], heatmap_size=56)(PHOTO)
    sample = Sample("test", PHOTO, person.crop)
    looked = []

    def finder(picture):
        looked.append(picture.shape)
        window = 512 / (1.25 * person.crop.side_px)
        return [replace(person, crop=Crop((255.5, 255.5), person.crop.side_px * window))]

    [seen] = FinderEye((finder,), COCO29)([(sample, person.crop)])
    assert seen.heatmaps.shape == (29, 56, 56) and looked
    np.testing.assert_array_equal(seen.heatmaps[:17], person.heatmaps)
    assert (seen.heatmaps[17:] == 0).all()

    drawn = TopDown(lambda images: torch.ones(len(images), 17, 8, 8), input_size=64, heatmap_size=56)
    [seen] = CropEye(drawn, COCO29)([(sample, person.crop)])
    assert seen.heatmaps.shape == (29, 56, 56)
    assert (seen.heatmaps[:17] > 0.99).all() and (seen.heatmaps[17:] == 0).all()
    more = replace_skeleton(drawn, COCO29, 29)
    [seen] = CropEye(more, COCO17)([(sample, person.crop)])
    assert seen.heatmaps.shape == (17, 56, 56)
    unsaid = replace_skeleton(drawn, COCO29, 17)  # of an ONNX file, which does not say whose its maps are
    [seen] = CropEye(unsaid, COCO29)([(sample, person.crop)])
    assert (seen.heatmaps[:17] > 0.99).all() and (seen.heatmaps[17:] == 0).all()
    with pytest.raises(InputError, match=r"gave \(1, 18, 8, 8\) for 1 pictures, expected \(1, 29, height"):
        CropEye(replace_skeleton(drawn, COCO29, 18), COCO29)([(sample, person.crop)])


def replace_skeleton(network: TopDown, skeleton, count: int) -> TopDown:
    return TopDown(
        lambda images: torch.ones(len(images), count, 8, 8),
        detector=network.detector, skeleton=skeleton, input_size=64, heatmap_size=56,
    )  # fmt: skip


def test_a_network_of_17_maps_is_tuned_before_a_transformer_of_29(body):
    torch.manual_seed(0)
    network, images = SmallHeatmapNet(4), torch.randn(2, 3, 64, 64)
    torch.nn.init.normal_(network.final_layers[-1].weight, std=0.1)
    transformer = MeshTransformer.for_body(body, LITTLE)
    model = ImageToMesh(network, transformer, remap(COCO17, COCO29)).eval()
    output = model(images, rows=torch.arange(4))
    [maps] = output.heatmaps
    assert maps.shape[1] == 17
    resized = torch.nn.functional.interpolate(maps, (56, 56), mode="bilinear").clamp(0, 1)
    padded = torch.cat([resized, torch.zeros(2, 12, 56, 56)], 1)
    expected = transformer(transformer.prepare(padded), rows=torch.arange(4))
    torch.testing.assert_close(output.prediction.joints, expected.joints)
    output.prediction.joints.sum().backward()
    assert network.final_layers[-1].weight.grad.any()


# ----------------------------------------------------------------------------------------------- results


def test_feet_and_hands_are_drawn_on_the_photo(whole):
    dark, shown = np.zeros((*SIZE[::-1], 3), np.uint8), whole.copy()
    shown[COCO29.index("left_small_toe"), 2] = 0.1
    drawn = overlay_figure(dark, [], Perspective(FOCAL, (319.5, 239.5)), [shown])
    of_17 = overlay_figure(dark, [], Perspective(FOCAL, (319.5, 239.5)), [shown[:17]])
    for name, where in zip(COCO29.joints, whole[:, :2].round().astype(int)):
        lit, before = (picture[where[1], where[0]].max() > 100 for picture in (drawn, of_17))
        assert lit == (name != "left_small_toe"), name
        assert before == (name in COCO17.joints), name


def test_an_exported_model_says_whose_its_maps_are(models):
    said = {count: portable.about(reconstructor.model, 1) for count, reconstructor in models.items()}
    assert json.loads(said[29]["joint_names"]) == list(COCO29.joints)
    assert said[29]["heatmaps"].startswith("(N, 29, 56, 56) ") and said[29]["joints"].startswith("(N, 29, 3)")
    assert "of the box of the first 17 joints; of a joint that nobody draws a map of" in said[29]["heatmaps"]
    assert "of the box of the joints;" in said[17]["heatmaps"]


def test_a_result_names_every_joint_of_the_model(models, whole):
    people = models[29](PHOTO, keypoints=whole, focal_px=FOCAL)
    [said] = as_json("photo.png", "m", Seconds(0, 0, 0), people, [{}], size_wh=SIZE)["people"]
    assert tuple(said["joints2d_px"]) == tuple(said["joints3d_m"]) == COCO29.joints
    x, y, score = said["joints2d_px"]["left_big_toe"]
    np.testing.assert_allclose([x, y, score], whole[COCO29.index("left_big_toe")], atol=0.01)


def test_a_checkpoint_carries_its_skeleton(models, tmp_path, body):
    for reconstructor in models.values():
        model = reconstructor.model
        path = tmp_path / f"{model.skeleton.name}.safetensors"
        own = body.with_joints(model.skeleton)
        checkpoint.save(
            path, model.transformer, faces=own.faces, skeleton=own.skeleton, body="anny", body_hash=own.hash
        )
        loaded = checkpoint.load(path)
        assert loaded.skeleton == model.skeleton
        assert loaded.transformer.joint_count == len(model.skeleton)


def test_a_run_has_the_joints_of_the_weights_that_it_begins_with_unless_told(tmp_path, body):
    of_17 = write_little_model(tmp_path / "of17.safetensors")
    assert body_for("anny").skeleton == body_for("anny", "coco29", of_17).skeleton == COCO29
    assert body_for("anny", "", of_17).skeleton == body_for("anny", "coco17").skeleton == COCO17
    with pytest.raises(InputError, match="its transformer reads 17 joints, this experiment's 29; start from"):
        take_weights(MeshTransformer.for_body(body, LITTLE), of_17)
    assert experiments.get("paper").skeleton == experiments.get("small-pretrain").skeleton == "coco17"
    assert experiments.get("mpt-small").skeleton == ""


def test_a_run_of_unknown_joints_is_refused(tmp_path, capsys):
    run = ["--store", str(tmp_path / "poses.store"), "--out", str(tmp_path / "run")]
    assert cli.main(["pretrain", "tiny", *run, "--skeleton", "coco18"]) == 2
    assert "no skeleton is called 'coco18': there are coco17, coco29" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_errors_on_poses_are_those_of_coco_s_17(models, body):
    """Whatever the regressor of feet and hands says, the figures stay; what the first 17 say, moves them."""
    rotvec = np.zeros((4, len(body.moving_bones), 3), np.float32)
    transformer = models[29].model.transformer
    known, kept = transformer.regressor, []
    for rows in (slice(0, 0), slice(17, 29), slice(5, 6)):
        transformer.regressor = known.clone()
        transformer.regressor[rows] = known[:1]
        kept.append(evaluate_poses(transformer, body, body.moving_bones, rotvec).means())
    transformer.regressor = known
    assert kept[0] == pytest.approx(kept[1]) and kept[0]["mpjpe"] != pytest.approx(kept[2]["mpjpe"], rel=1e-3)
    of_17 = evaluate_poses(models[17].model.transformer, body.with_joints(COCO17), body.moving_bones, rotvec)
    # the same people from the same views
    assert of_17.means()["mpve"] == pytest.approx(kept[0]["mpve"], rel=0.2)


def test_the_demo_compares_coco_s_17(models, body, whole):
    rest = body.rest(torch.zeros(1, body.shape_count))
    root = rest.joints[0, COCO17.root].mean(0)
    back, at = np.array([1.0, -1, -1]), np.array([0.1, 0.2, 4.0])
    truth = Subject(
        (rest.vertices[0] - root).numpy() * back + at, (rest.joints[0] - root).numpy() * back + at,
        whole[:, :2], np.zeros(0),
    )  # fmt: skip
    [person] = models[29](PHOTO, keypoints=whole, focal_px=FOCAL)
    assert len(person.joints3d) == 29
    cut = replace(person, skeleton=COCO17, joints3d=person.joints3d[:17], joints2d_px=person.joints2d_px[:17])
    assert demo.compare([person], [truth]) == demo.compare([cut], [truth]) != [None]
