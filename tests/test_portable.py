"""An exported model computes what the model does, with any batch, and says what its numbers are."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from little_model import LITTLE, write_little_model

from mpt import bodies, checkpoint, portable
from mpt.cli import main
from mpt.errors import InputError
from mpt.modeling.mesh_transformer import PAPER, MeshTransformer
from mpt.pose2d.keypoints import Keypoints
from mpt.reconstructor import Reconstructor

PATCHES = replace(PAPER, hidden=(8,), layers=1, heads=2, coarse_vertices=431, heatmap_size=32)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return checkpoint.load(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture
def needs_onnx():
    for name in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(name)


def made(config) -> checkpoint.Model:
    torch.manual_seed(0)
    body = bodies.load()
    transformer = MeshTransformer.for_body(body, config).eval().requires_grad_(False)
    return checkpoint.Model("made", transformer, body.skeleton, body.faces, body.name, body.hash, {})


def outputs_of(path, maps: torch.Tensor) -> dict[str, np.ndarray]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return dict(zip(portable.OUTPUTS, session.run(list(portable.OUTPUTS), {"heatmaps": maps.numpy()})))


def test_onnx_gives_a_reconstruction_of_somebody_in_the_picture_s_middle(needs_onnx, model, tmp_path, capsys):
    """There the photo's camera is the crop's, and nothing is turned."""
    checkpoint_file = write_little_model(tmp_path / "little.safetensors")
    assert main(["export", str(checkpoint_file), "--out", str(tmp_path / "little.onnx")]) == 0
    assert "differs from the model by 0.0" in capsys.readouterr().out
    reconstructor = Reconstructor(model, Keypoints(np.zeros((0, 17, 3)), heatmap_size=56))
    rest = np.zeros((17, 2)) + model.transformer.template_joints.numpy()[:, :2] * 100 + 150
    picture = np.zeros((301, 301, 3), np.uint8)
    people = Keypoints(np.dstack([rest[None], np.ones((1, 17, 1))]), heatmap_size=56)(picture)
    [person] = reconstructor.lift(people, (301, 301), focal_px=1e9)
    found = outputs_of(tmp_path / "little.onnx", torch.from_numpy(people[0].heatmaps)[None])
    np.testing.assert_allclose(found["joints"][0], person.joints3d, atol=1e-4)
    np.testing.assert_allclose(found["vertices"][0], person.vertices, atol=1e-4)
    np.testing.assert_array_equal(found["faces"], person.faces)


@pytest.mark.parametrize("ending", ["onnx", "pt2"])
def test_a_graph_says_up_and_how_sure_it_is_where_the_model_does(ending, request, tmp_path):
    model = made(replace(LITTLE, gravity=True, spread=True))
    path, maps = tmp_path / f"sure.{ending}", portable.heatmaps_of(model, 3, seed=2)
    if ending == "onnx":
        request.getfixturevalue("needs_onnx")
        import onnxruntime

        portable.write(path, model)
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, map(torch.from_numpy, session.run(names, {"heatmaps": maps.numpy()}))))
    else:
        portable.write(path, model)
        names = portable.Portable(model).outputs
        found = dict(zip(names, torch.export.load(path).module()(maps)))
    assert list(found) == ["joints", "vertices", "camera", "faces", "joints_std", "up", "up_std"]
    expected = model.transformer.look_twice(maps)
    for name in ("joints_std", "up", "up_std"):
        torch.testing.assert_close(found[name], getattr(expected, name), rtol=1e-4, atol=1e-5)


def test_onnx_says_what_its_numbers_are(needs_onnx, tmp_path):
    import onnx

    model = made(PATCHES)
    written = portable.write(tmp_path / "patches.onnx", model, looks=1)
    assert written.difference_mm < portable.MAX_MM
    proto = onnx.load(tmp_path / "patches.onnx")
    notes = {prop.key: prop.value for prop in proto.metadata_props}
    assert json.loads(notes["joint_names"]) == list(model.skeleton.joints)
    assert notes["looks"] == "1" and notes["body_hash"] == model.body_hash
    assert float(notes["blob_std_cells"]) == pytest.approx(3 / 2**0.5 * 32 / 224, abs=1e-4)  # Eq. 1
    sizes = {
        v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in proto.graph.input
    }
    assert sizes == {"heatmaps": ["N", 29, 32, 32]}
    maps = portable.heatmaps_of(model, 4, seed=9)
    expected, found = model.transformer(maps), outputs_of(tmp_path / "patches.onnx", maps)
    root = expected.regressed[:, model.skeleton.root].mean(1, keepdim=True)
    np.testing.assert_allclose(found["vertices"], expected.vertices - root, atol=1e-5)
    seen = expected.camera[:, None, :1] * (expected.regressed[..., :2] + expected.camera[:, None, 1:])
    camera = found["camera"][:, None]
    np.testing.assert_allclose(
        camera[..., :1] * (found["joints"][..., :2] + camera[..., 1:]), seen, atol=1e-5
    )


def test_torch_s_own_file_reads_coordinates_twice(tmp_path):
    model = made(replace(LITTLE, inputs="coordinates", heatmap_size=32))
    assert portable.write(tmp_path / "model.pt2", model).difference_mm < 1e-3
    extra = {"mpt.json": ""}
    run = torch.export.load(tmp_path / "model.pt2", extra_files=extra).module()
    maps = portable.heatmaps_of(model, 5)
    expected = model.transformer.look_twice(maps)
    joints, vertices, _, _ = run(maps)
    torch.testing.assert_close(vertices - vertices[:, :1], expected.vertices - expected.vertices[:, :1])
    torch.testing.assert_close(joints[:, model.skeleton.root].mean(1), torch.zeros(5, 3), atol=1e-6, rtol=0)
    assert json.loads(extra["mpt.json"])["looks"] == "2"


@pytest.mark.parametrize("ending", ["pt2", "onnx"])
def test_a_graph_reads_all_patches_where_the_model_skips_empty_ones(ending, request, tmp_path):
    if ending == "onnx":
        request.getfixturevalue("needs_onnx")
    model = made(replace(PATCHES, heatmap_size=64, patch_size=4, skip_below=0.02))
    maps = portable.heatmaps_of(model, 4, seed=9)
    assert model.transformer.kept_tokens(maps) < model.transformer.seen_count
    path = tmp_path / f"model.{ending}"
    assert portable.write(path, model).difference_mm < 1e-3
    expected = model.transformer.look_twice(maps)
    if ending == "onnx":
        found = torch.from_numpy(outputs_of(path, maps)["vertices"])
    else:
        found = torch.export.load(path).module()(maps)[1]
    root = expected.regressed[:, model.skeleton.root].mean(1, keepdim=True)
    torch.testing.assert_close(found, expected.vertices - root, atol=1e-5, rtol=0)


def test_a_graph_that_differs_is_not_written(model, tmp_path, monkeypatch):
    def off(portable_model, maps, notes):
        return b"wrong", lambda maps: [x + 2e-4 for x in portable_model(maps)]

    monkeypatch.setitem(portable.WRITERS, ".pt2", off)
    with pytest.raises(InputError, match=r"model\.pt2: not written, for it would differ from .* by 0\.2 mm"):
        portable.write(tmp_path / "model.pt2", model)
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_exported_is_refused(model, tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"model\.h5: '\.h5' is no ending .* use \.onnx or \.pt2"):
        portable.write(tmp_path / "model.h5", model)
    features = replace(LITTLE, inputs="features", feature_channels=8, feature_tokens=16)
    with pytest.raises(InputError, match="reads image features, not heatmaps"):
        portable.write(tmp_path / "model.onnx", made(features))
    monkeypatch.setattr(portable, "find_spec", lambda name: None if name == "onnxscript" else name)
    with pytest.raises(InputError, match=r"needs onnxscript, .*`pip install 'mesh-pretraining\[onnx\]'`"):
        portable.write(tmp_path / "model.onnx", model)
    assert not list(tmp_path.iterdir())
