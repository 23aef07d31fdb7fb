"""A model comes back from its file as it was, and what is no model of ours is refused in a sentence."""

import json
from dataclasses import replace

import pytest
import torch
from mutants import survive
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from tolerance import assert_close

from mpt import checkpoint
from mpt.errors import InputError
from mpt.modeling.mesh_transformer import PAPER, SMALL, MeshTransformer
from mpt.skeletons import COCO17
from mpt.writing import write_whole

SHRUNK = {"heatmap_size": 32, "coarse_vertices": 9, "heads": 2, "layers": 1}
CONFIGS = {
    "small": replace(SMALL, hidden=(16,), **SHRUNK),
    "paper": replace(PAPER, hidden=(32, 16, 8), **SHRUNK),
}
MIDDLES = pytest.mark.parametrize("middle", [(), (14,), (12, 20)])
ALL = pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)


def build(config, middle=(14,)) -> MeshTransformer:
    torch.manual_seed(0)
    near = torch.randint(9, (30, 3))
    regressor = torch.rand(17, 30)
    model = MeshTransformer(
        config,
        torch.randn(17, 3),
        torch.randn(9, 3),
        near,
        torch.full((30, 3), 1 / 3),
        regressor / regressor.sum(1, keepdim=True),
        middle_vertices=middle,
    )
    return model.eval()


def save(path, config, middle=(14,), **changed) -> MeshTransformer:
    model = build(config, middle)
    about = {"faces": torch.randint(30, (7, 3)), "skeleton": COCO17, "body": "tiny", "body_hash": "ab12"}
    checkpoint.save(path, model, **about | changed)
    return model


def random_input(model) -> torch.Tensor:
    return model.prepare(torch.rand(3, 17, 32, 32, generator=torch.Generator().manual_seed(1)))


@ALL
def test_a_saved_model_predicts_the_same_up_to_half_precision(tmp_path, config):
    model = save(tmp_path / "m.safetensors", config, info={"pa_mpjpe_mm": 12.5})
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    assert loaded.transformer.config == config
    assert (loaded.skeleton, loaded.body, loaded.body_hash) == (COCO17, "tiny", "ab12")
    assert loaded.info == {"pa_mpjpe_mm": 12.5}
    with torch.no_grad():
        for exact, found in zip(model(random_input(model)), loaded.transformer(random_input(model))):
            torch.testing.assert_close(found, exact, atol=5e-3, rtol=5e-3)


def test_the_threshold_of_empty_patches_comes_back_and_old_files_have_none(tmp_path):
    path = tmp_path / "m.safetensors"
    save(path, CONFIGS["paper"])
    known = header_of(path)["config"]
    assert known.pop("skip_below") == checkpoint.load(path).transformer.config.skip_below > 0
    with_header(path, config=known)
    assert checkpoint.load(path).transformer.config == replace(CONFIGS["paper"], skip_below=0.0)


@ALL
def test_weights_in_single_precision_come_back_exactly(tmp_path, config):
    model = save(tmp_path / "m.safetensors", config, dtype=torch.float32)
    for name, tensor in checkpoint.load(tmp_path / "m.safetensors").transformer.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name


@MIDDLES
def test_the_meshes_between_are_read_from_the_weights(tmp_path, middle):
    model = save(tmp_path / "m.safetensors", CONFIGS["paper"], middle, dtype=torch.float32)
    loaded = checkpoint.load(tmp_path / "m.safetensors").transformer
    shapes = {name: tuple(tensor.shape) for name, tensor in loaded.state_dict().items()}
    assert shapes == {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert_close(loaded(random_input(model)).vertices, model(random_input(model)).vertices)


@ALL
def test_what_weights_are_applied_to_is_exact_in_half_precision_too(tmp_path, config):
    faces = torch.randint(30, (7, 3))
    model = save(tmp_path / "m.safetensors", config, faces=faces)
    loaded = checkpoint.load(tmp_path / "m.safetensors")
    assert torch.equal(loaded.faces, faces)
    for name, buffer in loaded.transformer.named_buffers():
        assert torch.equal(buffer, dict(model.named_buffers())[name]), name


def test_saving_what_was_loaded_changes_nothing(tmp_path):
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save(first, CONFIGS["small"])
    m = checkpoint.load(first)
    checkpoint.save(second, m.transformer, faces=m.faces, skeleton=m.skeleton, body=m.body, body_hash="ab12")
    one, other = load_tensors(first.read_bytes()), load_tensors(second.read_bytes())
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert header_of(first) == header_of(second)


def test_a_loaded_model_is_for_inference(tmp_path):
    save(tmp_path / "m.safetensors", replace(CONFIGS["small"], dropout=0.5))
    transformer = checkpoint.load(tmp_path / "m.safetensors").transformer
    assert not transformer.training
    assert not any(p.requires_grad for p in transformer.parameters())


def test_a_run_folder_holds_its_model(tmp_path):
    save(tmp_path / "model.safetensors", CONFIGS["small"])
    assert checkpoint.load(tmp_path).body == "tiny"


def header_of(path) -> dict:
    content = path.read_bytes()
    length = int.from_bytes(content[:8], "little")
    return json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["mpt"])


def with_header(path, **changed) -> None:
    """The same file under another header."""
    content = path.read_bytes()
    header = json.dumps(header_of(path) | changed)
    path.write_bytes(save_tensors(load_tensors(content), metadata={"mpt": header}))


def refusal(path) -> str:
    with pytest.raises(InputError) as caught:
        checkpoint.load(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message


@pytest.fixture
def file(tmp_path):
    save(tmp_path / "m.safetensors", CONFIGS["small"])
    return tmp_path / "m.safetensors"


@pytest.mark.parametrize("share", [0.0, 0.0005, 0.01, 0.5, 0.999])
def test_a_file_cut_short_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    assert "not a whole file of mpt" in refusal(file)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"PK\x03\x04 a pickle of torch's, perhaps " * 40)
    assert "not a whole file of mpt" in refusal(path)
    path.write_bytes(save_tensors({"weight": torch.zeros(3)}))
    assert "not a whole file of mpt" in refusal(path)


def test_a_missing_file_is_refused_with_what_there_is(tmp_path):
    assert "no such model; give a model file, a run folder, or a name" in refusal(tmp_path / "none")
    assert "no such model" in refusal(tmp_path)


def test_a_file_of_another_version_is_refused(file):
    with_header(file, format="mpt-model-2")
    assert "its format is 'mpt-model-2', expected 'mpt-model-1'" in refusal(file)


def test_a_file_of_another_skeleton_is_refused(file):
    with_header(file, skeleton="octopus8")
    assert "do not fit its own header ('octopus8')" in refusal(file)
    with_header(file, skeleton="smpl24")
    assert "17 joints on a skeleton of 24" in refusal(file)


def test_a_config_that_its_weights_contradict_is_refused(file):
    config = header_of(file)["config"]
    for change in ({"hidden": [24]}, {"layers": 2}, {"upsampler": "dense"}, {"inputs": "patches"}):
        with_header(file, config=config | change)
        assert "its weights do not fit its own header" in refusal(file)
    with_header(file, config=config | {"colour": "red"})
    assert "unexpected keyword argument 'colour'" in refusal(file)


def test_nothing_half_written_is_left_where_writing_fails(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "file" / "below", b"content")
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    with pytest.raises(InputError, match="cannot be written"):
        write_whole(tmp_path / "folder", b"content")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["file", "folder"]


def test_writing_replaces_the_old_file_and_makes_folders(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    for content in (b"old", b"new"):
        write_whole(path, content)
        assert path.read_bytes() == content
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_model_file_with_a_damaged_header_is_read_or_refused(tmp_path):
    whole = tmp_path / "model.safetensors"
    faces = torch.zeros(2, 3, dtype=torch.long)
    checkpoint.save(whole, build(CONFIGS["small"]), faces=faces, skeleton=COCO17, body="tiny", body_hash="")
    content = whole.read_bytes()
    length = int.from_bytes(content[:8], "little")

    def read(path):
        header = path.read_bytes()
        whole.write_bytes(len(header).to_bytes(8, "little") + header + content[8 + length :])
        checkpoint.load(whole)

    assert survive(read, tmp_path / "header", content[8 : 8 + length], 1000)
