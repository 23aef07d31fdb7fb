"""Damaged files of models, runs, results and networks: each is read, or refused in a sentence."""

import json
import struct
import zipfile
from collections.abc import Callable
from dataclasses import asdict, is_dataclass, replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from mutants import survive
from PIL import Image

import mpt
from mpt import assets, bodies, checkpoint, experiments, result_folders
from mpt.datasets.store import Kind, PoseStore, Sequence
from mpt.errors import InputError
from mpt.images import read_image
from mpt.modeling.mesh_transformer import SMALL, MeshTransformer
from mpt.recipes import networks
from mpt.recipes.configs import read_config
from mpt.recipes.loop import Run
from mpt.recipes.networks import NetworkConfig
from mpt.recipes.pretrain import PretrainConfig
from mpt.skeletons import COCO17

MUTANTS = 2000


def write_tiny_model(path: Path) -> bytes:
    """A model of nine vertices, in some kilobytes."""
    torch.manual_seed(0)
    config = replace(SMALL, hidden=(4,), layers=1, heads=2, heatmap_size=16, coarse_vertices=6)
    near, weight = torch.randint(6, (9, 3)), torch.rand(9, 3)
    model = MeshTransformer(config, torch.randn(17, 3), torch.randn(6, 3), near, weight, torch.rand(17, 9))
    faces = torch.randint(9, (5, 3))
    checkpoint.save(path, model, faces=faces, skeleton=COCO17, body="anny", body_hash="0" * 64)
    return path.read_bytes()


def look(path: Path) -> None:
    """Load a model, and have it look at something."""
    transformer = mpt.load(path, device="cpu").model.transformer
    size = transformer.config.heatmap_size
    if size <= 64:
        transformer.look_twice(torch.rand(1, 17, size, size))


def header_of(content: bytes) -> tuple[bytes, bytes]:
    """The header of a safetensors file, and the rest."""
    end = 8 + int.from_bytes(content[:8], "little")
    return content[8:end], content[end:]


def test_models(tmp_path):
    content = write_tiny_model(tmp_path / "tiny.safetensors")
    look(tmp_path / "tiny.safetensors")
    assert survive(look, tmp_path / "mutant.safetensors", content, MUTANTS) > MUTANTS / 2


def test_models_whose_own_header_alone_is_damaged(tmp_path):
    """The mutants are of the card within the header, packed again so that the file around it is whole."""
    content = write_tiny_model(tmp_path / "tiny.safetensors")
    read, card = of_cards(content, look)
    assert survive(read, tmp_path / "card", card, MUTANTS) > MUTANTS / 4


def of_cards(content: bytes, read: Callable[[Path], object]) -> tuple[Callable[[Path], object], bytes]:
    """A reader of mutants of a file's card, and the card."""
    header, rest = header_of(content)
    whole = json.loads(header)

    def read_packed(path: Path) -> None:
        card = path.read_text(errors="replace")
        packed = json.dumps(whole | {"__metadata__": {"mpt": card}}).encode()
        path.write_bytes(struct.pack("<Q", len(packed)) + packed + rest)
        read(path)

    return read_packed, whole["__metadata__"]["mpt"].encode()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden": [4000000]}, "a size of 4000000"),
        ({"hidden": []}, ""),
        ({"layers": 60000}, "60000 layers in a file of"),
        ({"layers": 1.5}, "layers is 1.5"),
        ({"heads": 0}, "a size of 0"),
        ({"heads": -1}, "a size of -1"),
        ({"ffn_ratio": 1e9}, "ffn_in"),
        ({"ffn_ratio": float("nan")}, ""),
        ({"inputs": "pixels"}, "inputs is 'pixels'"),
        ({"inputs": "patches", "patch_size": 1, "heatmap_size": 65536}, ""),
        ({"heatmap_size": 50000}, "see.0.weight"),
        ({"coarse_vertices": "six"}, "coarse_vertices is 'six'"),
        ({"upsampler": "dense"}, "upsample"),
        ({"wings": 2}, "wings"),
    ],
)
def test_sizes_that_a_file_does_not_hold(changes, said, tmp_path):
    header, rest = header_of(write_tiny_model(tmp_path / "tiny.safetensors"))
    whole = json.loads(header)
    card = json.loads(whole["__metadata__"]["mpt"])
    card["config"] |= changes
    packed = json.dumps(whole | {"__metadata__": {"mpt": json.dumps(card)}}).encode()
    path = tmp_path / "changed.safetensors"
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + rest)
    with pytest.raises(
        InputError, match=f"changed.safetensors: its weights do not fit its own header .*{said}"
    ):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("name", "said"), [("faces", "faces are from"), ("upsample.near", "upsample.near are from")]
)
def test_indices_beyond_the_mesh(name, said, tmp_path):
    content = write_tiny_model(tmp_path / "tiny.safetensors")
    header, rest = header_of(content)
    start, _ = json.loads(header)[name]["data_offsets"]
    for wrong in (-1, 9, 2**31 - 1):
        changed = rest[:start] + struct.pack("<i", wrong) + rest[start + 4 :]
        (tmp_path / "tiny.safetensors").write_bytes(content[: -len(rest)] + changed)
        with pytest.raises(InputError, match=said):
            checkpoint.load(tmp_path / "tiny.safetensors")


def test_2d_networks_of_runs(tmp_path):
    config = NetworkConfig("small", width=1, input_size=32)
    networks.save(tmp_path / "pose2d.safetensors", networks.build(config), config)
    content = (tmp_path / "pose2d.safetensors").read_bytes()
    refused = survive(
        lambda path: networks.load(path.parent), tmp_path / "pose2d.safetensors", content, MUTANTS
    )
    assert refused > MUTANTS / 2


def test_states_of_runs(tmp_path):
    model = torch.nn.Linear(2, 2)
    moments = {"weight": {"exp_avg": torch.zeros(2, 2)}}
    run = Run(tmp_path)
    run.save_state(model, moments, step=3, batch_size=2, micro_batches=1)
    content = (tmp_path / "state.safetensors").read_bytes()

    def read(_: Path) -> None:
        assert isinstance(run.steps_taken, int)
        run.load_state(model)

    assert survive(read, tmp_path / "state.safetensors", content, MUTANTS) > MUTANTS / 2
    read_packed, card = of_cards(content, read)
    survive(read_packed, tmp_path / "state.safetensors", card, MUTANTS)


def test_stores_of_poses(tmp_path):
    body = bodies.load("anny-hand")
    with PoseStore.create(tmp_path / "my.store", body=body) as writer:
        for name, split in (("01", "train"), ("02", "validation")):
            writer.add(
                Sequence(name, name, "clip.bvh", 30.0, 3, 3, split),
                rotvec=np.zeros((3, len(body.moving_bones), 3)),
                frame=np.arange(3),
                kind=Kind(np.ones(3), np.ones(3)),
            )

    def read(path: Path) -> None:
        store = PoseStore(path, body=body)
        assert set(store.train) <= set(range(len(store)))
        store.rotvec(store.indices())
        store.kind(store.validation)

    content = (tmp_path / "my.store").read_bytes()
    assert survive(read, tmp_path / "my.store", content, MUTANTS // 2) > MUTANTS / 8
    (start,) = struct.unpack("<16xQ", content[:24])

    def read_packed(path: Path) -> None:
        header = path.read_bytes()
        path.write_bytes(content[:24] + struct.pack("<Q", len(header)) + content[32:start] + header)
        read(path)

    survive(read_packed, tmp_path / "my.store", content[start:], MUTANTS)


def test_configurations_of_runs(tmp_path):
    config = experiments.get("tiny")
    content = json.dumps(asdict(config), indent=1).encode()

    def read(path: Path) -> None:
        found = read_config(path.parent, PretrainConfig)
        assert [type(value) for value in leaves(found)] == [type(value) for value in leaves(config)]

    assert survive(read, tmp_path / "config.json", content, MUTANTS) > MUTANTS / 4


def leaves(config: object) -> list[object]:
    """Every plain value of a configuration, whole numbers as those that they stand for."""
    if is_dataclass(config):
        return [leaf for value in vars(config).values() for leaf in leaves(value)]
    return [float(config) if type(config) is int else config]


def test_results(tmp_path):
    """What a damaged result.json names is never removed, unless it is named as a result's own."""
    person = {"meshes": {"glb": "person0.glb"}, "score": 1.0}
    result = {"image": "a.jpg", "model": "mpt-small", "seconds": {"total": 1.0}, "people": [person]}
    for name in ("person0.glb", "overlay.png"):
        (tmp_path / name).write_text("ours")
    for name in ("person.glb", "0.glb", "notes.txt"):
        (tmp_path / name).write_text("theirs")

    def read(path: Path) -> None:
        with result_folders.replacing(path.parent) as unfinished:
            (unfinished / "result.json").write_text("{}")
        for name in ("person.glb", "0.glb", "notes.txt"):
            assert (path.parent / name).read_text() == "theirs"

    content = json.dumps(result, indent=1).encode()
    assert survive(read, tmp_path / "result.json", content, MUTANTS) > MUTANTS / 4


def test_wheels(tmp_path, monkeypatch):
    content = b"weights" * 10
    file = assets.AssetFile("some/net.tflite", sha256(content).hexdigest())
    monkeypatch.setattr(assets, "ASSETS", {"net": assets.Asset("net", "a net", "CC0", (file,))})
    monkeypatch.setenv("MPT_CACHE", str(tmp_path / "cache"))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        with zipfile.ZipFile(tmp_path / "some.whl", "w", compression) as archive:
            archive.writestr("some/net.tflite", content)
        wheel = (tmp_path / "some.whl").read_bytes()
        assert survive(assets.add, tmp_path / "some.whl", wheel, MUTANTS // 2) > MUTANTS / 8


@pytest.mark.parametrize("ending", ["png", "jpg", "gif", "bmp", "tif", "webp"])
@pytest.mark.filterwarnings("ignore")
def test_photos(ending, tmp_path):
    Image.effect_noise((40, 40), 60).convert("RGB").save(tmp_path / f"photo.{ending}")
    content = (tmp_path / f"photo.{ending}").read_bytes()
    survive(read_image, tmp_path / f"photo.{ending}", content, MUTANTS // 6)
