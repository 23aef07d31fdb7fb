"""The callable for engines that map batches: by itself, and in Ray where it is installed."""

import copy
import json
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from little_model import standing_joints, write_little_model
from PIL import Image

import mpt
from mpt.errors import InputError
from mpt.pose2d.keypoints import Keypoints
from mpt.skeletons import COCO17

SIZE = (160, 120)


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> str:
    return str(write_little_model(tmp_path_factory.mktemp("model") / "little.safetensors"))


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("in/a.png", "in/sub/a.png"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE, "grey").save(name)
    Path("in/broken.png").write_bytes(b"no picture")
    return tmp_path


class Somebody:
    """A 2D network that sees one person in every photo, and counts these."""

    seen = 0

    def __call__(self, image: np.ndarray) -> list:
        self.seen += 1
        joints = standing_joints((0, 0, 4), 200, (image.shape[1], image.shape[0]))
        return Keypoints(joints[None], skeleton=COCO17, heatmap_size=56)(image)


def mapper(model: str, **how) -> tuple["mpt.BatchReconstructor", Somebody]:
    made = mpt.BatchReconstructor(model, device="cpu", **how)
    made._load().pose2d = somebody = Somebody()
    return made, somebody


def column(*values) -> np.ndarray:
    return np.array(values, object)


PATHS = column("in/a.png", "in/broken.png", "in/sub/a.png", "in/nothing.png")


def test_rows_in_rows_out(model):
    made, _ = mapper(model)
    found = made({"path": PATHS, "id": np.arange(4)})
    assert found["count"].tolist() == [1, 0, 1, 0] and found["id"].tolist() == [0, 1, 2, 3]
    assert found["path"] is PATHS and "folder" not in found
    assert [error.split(":")[0] for error in found["error"]] == [
        "",
        "in/broken.png is no picture that can be read",
        "",
        "in/nothing.png does not exist",
    ]
    [person] = json.loads(found["people"][0])
    assert {"joints3d_m", "joints2d_px", "pose", "camera", "build"} <= person.keys()
    assert found["people"][1] == "[]" and (found["seconds"] > 0).all()


def test_a_photo_is_the_same_by_its_path_its_bytes_and_its_pixels(model):
    made, _ = mapper(model)
    content = Path("in/a.png").read_bytes()
    pixels = np.asarray(Image.open("in/a.png"))
    by_path = made({"path": column("in/a.png")})["people"][0]
    by_bytes = made({"bytes": column(content), "path": column("s3/a.png")})
    by_pixels = made({"image": pixels[None], "bytes": column(b"is not read")})
    assert by_bytes["people"][0] == by_pixels["people"][0] == by_path
    assert by_bytes.keys() == {"path", "people", "count", "error", "seconds"}


def test_focal_lengths_are_a_column(model):
    made, _ = mapper(model)
    found = made({"path": column(*["in/a.png"] * 3), "focal_px": np.array([300, np.nan, -1])})
    assert [json.loads(people)[0]["camera"]["focal_px"] for people in found["people"][:2]] == [300, 200]
    assert "focal length" in found["error"][2]


def test_files_are_written_once_whoever_asks_again(model, place):
    made, somebody = mapper(model, out="out", root="in", format=("npz",))
    absolute = column(*(str(place / path) for path in PATHS))
    found = made({"path": absolute})
    assert found["folder"].tolist() == ["out/a.png", "", "out/sub/a.png", ""]
    files = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*") if path.is_file()}
    assert {path.name for path in files} == {"person0.npz", "result.json"} and len(files) == 4
    assert somebody.seen == 2
    again, another = mapper(model, out="out", root="in", format=("npz",))
    assert again({"path": absolute})["people"].tolist() == found["people"].tolist()
    assert another.seen == 0
    assert {path: path.stat().st_mtime_ns for path in files} == files
    os.unlink("out/a.png/person0.npz")  # half of a result
    again({"path": absolute})
    assert another.seen == 1 and Path("out/a.png/person0.npz").is_file()
    again({"path": absolute, "focal_px": np.full(4, 300.0)})
    assert another.seen == 3


def test_what_has_no_name_is_called_by_its_content_and_nothing_leaves_the_folder(model, place):
    made, _ = mapper(model, out="out", format=())
    content = Path("in/a.png").read_bytes()
    found = made({"bytes": column(content, content), "path": column("../../a.png", "b/../a.png")})
    outside, inside = found["folder"]
    assert Path(outside).parts[0] == "out" and len(Path(outside).name) == 64
    assert inside == "out/a.png"
    assert made({"bytes": column(content)})["folder"].tolist() == [outside]
    assert made({"image": np.zeros((1, 90, 90, 3), np.uint8)})["folder"][0] != outside


def test_a_fault_costs_its_photo_alone(model):
    made, somebody = mapper(model)
    somebody.seen = None  # type: ignore[assignment]
    found = made({"path": column("in/a.png")})
    assert found["error"][0].startswith("this is a fault of mpt (TypeError: ")


def test_what_is_wrong_with_all_is_raised(model):
    with pytest.raises(InputError, match="the batch has the columns id: one of image, bytes, path was exp"):
        mpt.BatchReconstructor(model)({"id": np.arange(3)})
    with pytest.raises(InputError, match=r"nowhere\.safetensors"):
        mpt.BatchReconstructor("nowhere.safetensors")({"path": PATHS})


def test_it_travels_without_its_model(model):
    made, _ = mapper(model, out="out", format=("npz",))
    for other in (pickle.loads(pickle.dumps(made)), copy.deepcopy(made)):
        assert other._reconstructor is None and len(pickle.dumps(made)) < 2000
        assert (other.model, other.out, other.format) == (model, Path("out"), ("npz",))


def test_threads_may_share_it(model):
    made, somebody = mapper(model)
    found: list = []
    threads = [
        threading.Thread(target=lambda: found.append(made({"path": PATHS[:1]})["people"][0]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1 and somebody.seen == 4


IN_RAY = """
import json, sys
import ray
import mpt

ray.init(num_cpus=1, include_dashboard=False, object_store_memory=80_000_000, log_to_driver=False)
ray.data.DataContext.get_current().enable_progress_bars = False
photos = ray.data.from_items([{"path": path} for path in sys.argv[2:]])
people = photos.map_batches(
    mpt.BatchReconstructor,
    fn_constructor_kwargs={"model": sys.argv[1], "device": "cpu", "out": "out", "root": "in"},
    batch_size=2,
    concurrency=1,
)
print(json.dumps(sorted([row["path"], row["count"], row["error"]] for row in people.take_all())))
ray.shutdown()
"""


def test_it_maps_a_data_set_in_ray(model, place):
    pytest.importorskip("ray.data", reason="pip install 'mesh-pretraining[ray]'")
    Image.new("RGB", (8, 8)).save("in/a.png")
    Image.new("RGB", (9, 9)).save("in/sub/a.png")  # refused, so that no network need be fetched
    paths = [str(place / path) for path in PATHS]
    source = os.fspath(Path(mpt.__file__).parents[1])
    done = subprocess.run(
        [sys.executable, "-c", IN_RAY, model, *paths],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": source, "RAY_USAGE_STATS_ENABLED": "0"},
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout.splitlines()[-1])
    assert [row[:2] for row in rows] == sorted([path, 0] for path in paths)
    assert sum("too small" in row[2] for row in rows) == 2
