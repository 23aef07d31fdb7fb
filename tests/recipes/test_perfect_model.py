"""A model that answers exactly what it is trained to has no error, whatever reads, trains or scores it.

Truth goes into the axes of the network by one rotation, answers come out of them by its inverse: on the
optical axis or far beside it, with the camera known or assumed, with crops turned or shown in a mirror.
"""

from dataclasses import replace

import numpy as np
import official
import pytest
import torch
from oracles import Knowing

from mpt.crops import Crop
from mpt.datasets.augment import Augmentation
from mpt.datasets.loading import PhotoDataset, camera_of
from mpt.datasets.sample import BodyParameters, Joints3D, Keypoints, Sample, project
from mpt.pose2d.base import Person2D
from mpt.recipes.benchmark import benchmark, read_samples
from mpt.recipes.conventions import conventions
from mpt.recipes.predicting import Network
from mpt.reconstructor import Reconstructor
from mpt.skeletons import H36M17, SMPL24
from mpt.views import MIRROR, camera_from_network

pytest_plugins = ["benchmark_sets"]

SIZE_WH = (1000, 1002)
K = np.array([[1145.0, 0, 512.5], [0, 1143.8, 515.5], [0, 0, 1]])
EXACT_MM = 1e-3


class Some(list):
    """Samples that are there."""

    dataset = "human36m"

    def image(self, index):
        return f"{index}.jpg"


def posed(body, count: int = 2) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    pose, betas, _ = official.random_people(count, 24)
    turns = torch.from_numpy(np.stack([[official._rodrigues(v) for v in person] for person in pose]))
    return pose, betas, body.forward(turns, torch.from_numpy(betas)).vertices


def human36m(body, off_px: float, known: bool) -> tuple[Some, np.ndarray]:
    """SMPL bodies five metres away and so many pixels beside the optical axis; their meshes, camera axes."""
    body = body.to(dtype=torch.float64)
    pose, betas, meshes = posed(body)
    meshes = meshes.numpy() + np.array([off_px / K[0, 0] * 5, -0.4 * off_px / K[1, 1] * 5, 5.0])
    samples = Some()
    for number, mesh in enumerate(meshes):
        joints = body.regress(torch.from_numpy(mesh)[None], H36M17.name)[0].numpy()
        xy = project(joints, K)
        samples.append(
            Sample(
                "human36m",
                np.zeros((*SIZE_WH[::-1], 3), np.uint8),
                Crop.around(xy),
                keypoints=Keypoints(H36M17, xy, np.ones(17)),
                joints=Joints3D(H36M17, joints - joints[0], np.ones(17, bool)),
                parameters=BodyParameters("smpl", pose[number], betas[number]),
                intrinsics=K if known else None,
            )
        )
    return samples, meshes


def photos_of(samples, body) -> PhotoDataset:
    model = body.metadata["shape_space"]
    return PhotoDataset(samples, body.skeleton, model=model, vertices=len(body.template), size=16)


def report(name, rules, samples, oracle, body, out):
    return benchmark(name, rules, samples, out, oracle.model(), body, lambda: oracle.eye, pose2d="oracle")


@pytest.mark.parametrize("known", [False, True], ids=["without K", "with K"])
@pytest.mark.parametrize("off_px", [0, 200, 400])
def test_on_human36m(people, tmp_path, off_px, known):
    body = people["neutral"]
    samples, _ = human36m(body, off_px, known)
    oracle = Knowing(samples, photos_of(samples, body), body)
    rules, _ = conventions("h36m", body)
    found = report("h36m", rules, samples, oracle, body, tmp_path / "turned")
    [table] = found.tables
    assert any(("camera is known" if known else "no camera is known") in note for note in found.notes)
    assert table.means["mpjpe_mm"] < EXACT_MM
    oracle.photos.camera_from_network = lambda *_, **__: np.eye(3)  # truth that is left in the camera's axes
    [table] = report("h36m", rules, samples, oracle, body, tmp_path / "plain").tables
    assert table.means["mpjpe_mm"] > (1, 15, 30)[off_px // 200]


def test_on_3dpw_by_both_conventions(tdpw_folder, people, tmp_path):
    samples = [replace(s) for s in read_samples("3dpw", tdpw_folder)]
    for gender, rule in zip(("neutral", None), conventions("3dpw", people["neutral"], people)[0]):
        for person in ("male", "female"):
            of_one = Some(s for s in samples if s.parameters.gender == person)
            body = people[gender or person]
            oracle = Knowing(of_one, photos_of(of_one, body), body)
            out = tmp_path / f"{rule.name}-{person}"
            [table] = report("3dpw", [rule], of_one, oracle, body, out).tables
            assert table.samples == 3
            assert table.means["mpjpe_mm"] < EXACT_MM and table.means["mpve_mm"] < EXACT_MM


@pytest.mark.filterwarnings("ignore:.* sequences of ")
def test_on_emdb_by_both_conventions(emdb_folder, people, tmp_path):
    samples = read_samples("emdb", emdb_folder[0])
    for gender in ("male", "female"):
        of_one = Some(s for s in samples if s.parameters.gender == gender)
        oracle = Knowing(of_one, photos_of(of_one, people[gender]), people[gender])
        rules, _ = conventions("emdb", people[gender], people)
        tables = report("emdb", rules, of_one, oracle, people[gender], tmp_path / gender).tables
        assert [table.samples for table in tables] == [3, 3]
        assert all(mm < EXACT_MM for table in tables for mm in table.means.values())


def test_on_freihand_in_camera_axes(freihand_folder, hand, tmp_path):
    folder, meshes = freihand_folder
    samples = Some(read_samples("freihand", folder))
    oracle = Knowing(samples, photos_of(samples, hand), hand)
    rules, _ = conventions("freihand", hand)
    [table] = report("freihand", rules, samples, oracle, hand, tmp_path).tables
    assert table.means["pa_mpjpe_mm"] < EXACT_MM and table.means["pa_mpvpe_mm"] < EXACT_MM
    predicted = Network(oracle.model(), oracle.eye)(samples)
    wrist = hand.to(dtype=torch.float64).regress(meshes)[:, :1]
    for mesh, truth in zip(predicted, (meshes - wrist).numpy()):
        np.testing.assert_allclose(mesh.vertices_m, truth, atol=1e-6)


@pytest.mark.parametrize("turn", [0.0, 0.7, -np.pi / 2])
def test_through_a_turned_crop(people, turn):
    body = people["neutral"]
    samples, meshes = human36m(body, 300, True)
    oracle = Knowing(samples, photos_of(samples, body), body, Augmentation(rotation=turn, scale=1.2))
    hips = body.regress(torch.from_numpy(meshes).float())[:, body.skeleton.root].mean(1).numpy()
    for mesh, truth, middle in zip(Network(oracle.model(), oracle.eye)(samples), meshes, hips):
        np.testing.assert_allclose(mesh.vertices_m, truth - middle, atol=2e-6)


def test_through_a_crop_in_a_mirror(people):
    """Joints, mirrored and exchanged, come back as they stood."""
    body = people["neutral"]
    samples, _ = human36m(body, 300, True)
    photos, flip = PhotoDataset(samples, SMPL24, size=16), Augmentation(flip=True, rotation=0.4)
    sample = replace(samples[0], joints=Joints3D(SMPL24, np.random.default_rng(0).normal(size=(24, 3)),
                                                 np.ones(24, bool)))  # fmt: skip
    seen = photos.example(sample, flip).joints.numpy()[SMPL24.flip]
    back = photos.camera_from_network(sample, flip.crop(sample.crop), mirrored=True)
    true = sample.joints.xyz_m - sample.joints.xyz_m[SMPL24.root].mean(0)
    np.testing.assert_allclose(seen @ back.T, true, atol=1e-6)


@pytest.mark.parametrize("known", [False, True], ids=["without K", "with K"])
@pytest.mark.parametrize("off_px", [0, 200, 400])
def test_through_a_reconstruction(people, off_px, known):
    body = people["neutral"]
    square = np.array([[1145.0, 0, 512.5], [0, 1145, 515.5], [0, 0, 1]])
    samples, meshes = human36m(body, off_px, known)
    samples = Some(replace(s, intrinsics=square if known else None) for s in samples)
    oracle = Knowing(samples, photos_of(samples, body), body)
    found = [
        Person2D((0, 0, 1, 1), 1.0, np.zeros((17, 3)), sample.crop, seen.heatmaps.numpy())
        for sample, seen in zip(samples, oracle.eye([(s, s.crop) for s in samples]))
    ]
    camera = {"focal_px": 1145.0, "principal_px": (512.5, 515.5)} if known else {}
    hips = body.regress(torch.from_numpy(meshes).float())[:, body.skeleton.root].mean(1).numpy()
    for person, truth, middle in zip(
        Reconstructor(oracle.model(), object()).lift(found, SIZE_WH, **camera), meshes, hips
    ):
        np.testing.assert_allclose(person.vertices, truth - middle, atol=2e-6)


def test_the_rotation_is_orthogonal_and_takes_the_axis_to_the_ray():
    rng = np.random.default_rng(0)
    for mirrored in (False, True):
        crop = Crop((300.0, 250.0), 200.0, float(rng.uniform(-3, 3)))
        sample = Sample("x", np.zeros((480, 640, 3), np.uint8), crop)
        camera, root = camera_of(sample), rng.uniform(-1, 1, 2)
        turn = camera_from_network(camera, crop, root, mirrored=mirrored)
        np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(turn) == pytest.approx(-1 if mirrored else 1)
        ray = camera.ray(crop.image_from_ndc[:, :2] @ root + crop.image_from_ndc[:, 2])
        np.testing.assert_allclose(turn @ [0, 0, 1], ray / np.linalg.norm(ray), atol=1e-12)
        other = camera_from_network(camera, crop, root, mirrored=not mirrored)
        np.testing.assert_allclose(turn @ MIRROR, other, atol=1e-12)
