"""The packaged Anny body: what it looks like, who its people are, and its likeness to the library."""

import sys

import pytest
import torch

from mpt.bodies import anny, load
from mpt.errors import InputError
from mpt.skeletons import COCO17, COCO29


@pytest.fixture(scope="module")
def body():
    return load("anny")


def test_the_file_holds_the_whole_body_and_says_where_it_is_from(body):
    assert body.template.shape == (13718, 3) and body.faces.shape == (27420, 3)
    assert body.shape_count >= 32 and len(body.bones) == 104 and body.skeleton == COCO29
    assert body.hash == body.metadata["surface"]  # joints were added to it, and models and stores live on
    assert "anny 0." in body.metadata["source"] and "Apache-2.0" in body.metadata["licence"]


def test_it_stands_y_up_facing_z_with_its_left_at_x(body):
    rest = body.rest(torch.zeros(1, body.shape_count))
    joint = dict(zip(COCO17.joints, rest.joints[0]))
    head = dict(zip(body.bones, rest.heads[0]))
    assert joint["nose"][1] > joint["left_hip"][1] > joint["left_knee"][1] > joint["left_ankle"][1]
    assert joint["nose"][2] > joint["left_ear"][2] and head["toe1-1.L"][2] > head["foot.L"][2]
    for name in ("eye", "shoulder", "wrist", "hip", "ankle"):
        assert joint[f"left_{name}"][0] > 0 > joint[f"right_{name}"][0]
    a, b, c = body.template[body.faces].unbind(1)
    assert (a * torch.linalg.cross(b, c)).sum() > 0  # faces look outward


def test_toes_heels_and_knuckles_are_where_they_are_called(body):
    at = dict(zip(body.skeleton.joints, body.rest(torch.zeros(1, body.shape_count)).joints[0]))
    sole = body.template[:, 1].min()
    for side, out in (("left", 1), ("right", -1)):
        ankle, big, small, heel = (
            at[f"{side}_{joint}"] for joint in ("ankle", "big_toe", "small_toe", "heel")
        )
        assert heel[2] < ankle[2] < small[2] < big[2] and out * small[0] > out * big[0]
        assert all(0 < joint[1] - sole < 0.05 for joint in (big, small, heel))
        wrist, thumb, index, pinky = (
            at[f"{side}_{joint}"] for joint in ("wrist", "thumb_knuckle", "index_knuckle", "pinky_knuckle")
        )
        assert (index - thumb).norm() < (pinky - thumb).norm()
        # as BlazePose's points of a real grown-up, triangulated from four cameras, to within a quarter
        for one, other, length in (
            (heel, big, 0.197), (ankle, big, 0.169), (ankle, heel, 0.069),
            (wrist, thumb, 0.063), (wrist, index, 0.083), (wrist, pinky, 0.080), (index, pinky, 0.023),
        ):  # fmt: skip
            assert (one - other).norm() == pytest.approx(length, rel=0.25)
    torch.testing.assert_close(
        at["left_heel"] * torch.tensor([-1.0, 1, 1]), at["right_heel"], rtol=0, atol=1e-3
    )


def test_every_role_names_a_bone_and_left_mirrors_right(body):
    assert len(body.moving_bones) == 22 and body.moving_bones[0] == body.bones[0] == body.roles["pelvis"]
    mirror = torch.tensor([-1.0, 1.0, 1.0])
    for role, bone in body.roles.items():
        other = body.roles[role.replace("left", "right")]
        left, right = (body.heads[body.bones.index(name)] for name in (bone, other))
        if role.startswith("left"):
            torch.testing.assert_close(left * mirror, right, rtol=0, atol=3e-3)


def test_weights_of_skin_and_regressor_sum_to_one(body):
    torch.testing.assert_close(body.skin_weight.sum(1), torch.ones(len(body.template)))
    torch.testing.assert_close(body.regressor.to_dense().sum(1), torch.ones(29), rtol=0, atol=1e-3)
    assert (body.skin_weight >= 0).all()


def test_the_moving_bones_alone_pose_the_same_body(body):
    few = body.with_bones(body.moving_bones)
    rotations = anny.random_pose(body, 2, torch.Generator().manual_seed(1))
    shape = body.sample_shapes(2)
    kept = [body.bones.index(bone) for bone in few.bones]
    whole, short = body(rotations, shape), few(rotations[:, kept], shape)
    torch.testing.assert_close(short.vertices, whole.vertices, rtol=0, atol=1e-5)
    torch.testing.assert_close(short.joints, whole.joints, rtol=0, atol=1e-5)
    torch.testing.assert_close(whole.joints, body.regress(whole.vertices), rtol=0, atol=3e-5)


def test_people_are_as_tall_and_as_heavy_as_people_are(body):
    people = body.phenotypes.sample_phenotypes(4000, torch.Generator().manual_seed(0))
    shape = body.phenotypes.shape(people)
    height = body.phenotypes.stature_m(shape) * 100
    adult, female = people[:, 1] > 0.7699, people[:, 0] > 0.5
    for chosen, mean, spread in ((adult & ~female, 176, 7), (adult & female, 163, 6.5)):
        assert abs(height[chosen].mean() - mean) < 1 and abs(height[chosen].std() - spread) < 0.6
    assert 0.08 < (~adult).float().mean() < 0.16 and height[~adult].min() > 80
    some = torch.cat([(adult & (female == sex)).nonzero()[:40, 0] for sex in (False, True)])
    mass_index = anny.mass_kg(body, shape[some]) / (height[some] / 100) ** 2
    assert 23 < mass_index.mean() < 28 and 2.5 < mass_index.std() < 6
    assert abs(shape.mean(0)).max() < 0.2 and 0.7 < shape.std(0).median() < 1.3


def test_stature_is_the_height_of_the_rest_mesh(body):
    shape = body.sample_shapes(30, torch.Generator().manual_seed(2))
    y = body.rest(shape).vertices[..., 1]
    torch.testing.assert_close(y.amax(1) - y.amin(1), body.phenotypes.stature_m(shape), rtol=0, atol=5e-3)


@pytest.mark.parametrize("sex, height_cm, weight_kg", [("male", 185, 95), ("female", 158, 50)])
def test_a_person_has_the_height_and_weight_asked_for(body, sex, height_cm, weight_kg):
    shape = anny.person(body, sex=sex, years=40, height_cm=height_cm, weight_kg=weight_kg)
    y = body.rest(shape).vertices[0, :, 1]
    assert abs(float(y.max() - y.min()) * 100 - height_cm) < 0.5
    assert abs(float(anny.mass_kg(body, shape)) - weight_kg) < 0.5


def test_a_child_is_smaller_and_phenotypes_have_names(body):
    child, adult = (
        body.phenotypes.stature_m(anny.person(body, sex="female", years=years)) for years in (6, 30)
    )
    assert child < 1.25 < 1.55 < adult
    heights = [body.phenotypes.stature_m(body.phenotypes.shape_of(height=h)) for h in (0.2, 0.4, 0.6)]
    assert heights[0] < heights[1] < heights[2]


def test_impossible_people_are_refused_in_a_sentence(body):
    with pytest.raises(InputError, match=r"400 kg was asked of a male body of 170 cm, which can weigh"):
        anny.person(body, sex="male", height_cm=170, weight_kg=400)
    with pytest.raises(InputError, match="use male or female"):
        anny.person(body, sex="yes")
    with pytest.raises(InputError, match="17 coarse vertices were asked of anny, which has 431 and 1723"):
        body.coarsened(17)


def test_building_without_the_library_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "anny", None)
    with pytest.raises(InputError, match=r"pip install 'mesh-pretraining\[anny\]'"):
        anny.build(tmp_path / "body.safetensors")


@pytest.mark.parametrize("adults", [True, False])
def test_it_is_the_library_s_body_within_a_fraction_of_a_millimetre(body, adults):
    pytest.importorskip("anny")
    generator = torch.Generator().manual_seed(3)
    people = body.phenotypes.sample_phenotypes(400, generator)
    people = people[(people[:, 1] > 0.7699) == adults][:10]
    rotations = anny.random_pose(body, len(people), generator)
    rotations[:, [body.bones.index(f"toe1-1.{side}") for side in "LR"]] = torch.eye(3)
    truth = anny.library_output(body, people, rotations)
    ours = body(rotations, body.phenotypes.shape(people))
    for mine, theirs in zip(ours, truth):
        error_mm = (mine - theirs).norm(dim=-1) * 1000
        assert error_mm.mean() < (0.1 if adults else 0.3) and error_mm.max() < 6
