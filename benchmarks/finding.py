"""Who is found, at what price: pictures of one to six people whose places are known, and real photos.

python benchmarks/finding.py --store poses.store --data FOLDER --cache FOLDER
python benchmarks/finding.py ... --also blazepose_before.py

The pictures are made once, of validation poses on random people in random places, and kept in a folder:
two minutes of one core for a hundred. In the photos nobody's place is known; there it is told what another
version of ``mpt/pose2d/blazepose.py`` finds, which takes turns with the installed one.
"""

import importlib.util
import json as json_text
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import roma
import torch
import tyro
from measuring import table, write_json
from rich.progress import track
from timing import interleaved

from mpt import assets, bodies
from mpt.bodies import Body
from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.images import read_image
from mpt.pose2d.base import Person2D
from mpt.pose2d.blazepose import DETECTOR_SIZE, BlazePose
from mpt.pose2d.litert import Network
from mpt.scenes import Actor, Shot, photograph, random_outfit
from mpt.scenes.backdrops import PLACES
from mpt.scenes.photograph import pose_actor
from mpt.skeletons import COCO17
from mpt.writing import write_whole

SEED = 20240612
SAME = 0.25  # of a person's size: the median distance of the joints of somebody found
MOST = 6  # people in a picture
BODY = slice(len(COCO17))
SIZES = [(720, 960), (960, 720), (1280, 720), (840, 840)]

Finder = Callable[[np.ndarray], list[Person2D]]


def pictures(folder: Path, store: PoseStore, body: Body, count: int) -> Iterator[tuple[Path, np.ndarray]]:
    """The first ``count`` pictures of a fixed series, made where absent, with all joints (N, 17, 2) px."""
    poses = store.rotvec(store.validation)
    people = body.sample_shapes(4096, torch.Generator().manual_seed(SEED))
    for k in range(count):
        image, truth = folder / f"{k:04d}.png", folder / f"{k:04d}.json"
        if not truth.exists():
            rng = np.random.default_rng([SEED, k])
            picture, joints = crowd(body, poses, people, 1 + k % MOST, rng)
            write_whole(image, cv2.imencode(".png", picture[..., ::-1])[1].tobytes())
            write_whole(truth, json_text.dumps(joints.tolist()).encode())
        yield image, np.array(json_text.loads(truth.read_text()))


def crowd(
    body: Body, poses: np.ndarray, shapes: torch.Tensor, count: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """A picture (H, W, 3) of up to ``count`` people, near and far, and their joints (N, 17, 2) px."""
    cast: list[Actor] = []
    while not cast:
        name = rng.choice(list(PLACES))
        place, size_wh = PLACES[name](rng), SIZES[rng.integers(len(SIZES))]
        focal, distance = float(rng.uniform(0.7, 1.3) * max(size_wh)), float(rng.uniform(2.2, 5.0))
        height, pitch, roll = rng.uniform(1.0, 2.2), rng.uniform(0, 12), rng.normal(0, 2)
        shot = Shot(size_wh, focal, height, distance, 0.0, pitch, roll, grain=0.012)
        depth = 7.0 if name == "park" else -place.wall_z - 0.6  # metres from the nearest to the farthest
        cast = _cast(body, poses, shapes, count, shot, depth, rng)
    scene = photograph(body, cast, place, shot, rng)
    return scene.image, np.stack([subject.joints2d_px[BODY] for subject in scene.people])


def _cast(
    body: Body,
    poses: np.ndarray,
    shapes: torch.Tensor,
    count: int,
    shot: Shot,
    depth: float,
    rng: np.random.Generator,
) -> list[Actor]:
    """Up to ``count`` people, wholly in the picture and hardly before one another."""
    cast: list[Actor] = []
    boxes: list[np.ndarray] = []
    for _ in range(40 * count):
        z = float(-depth * rng.random())
        actor = Actor(
            _rotations(body, poses[rng.integers(len(poses))]),
            shapes[rng.integers(len(shapes))],
            random_outfit(rng),
            x_m=float(rng.uniform(-0.5, 0.5) * shot.size_wh[0] / shot.focal_px * (shot.distance_m - z)),
            z_m=z,
            yaw_deg=float(rng.uniform(-180, 180)),
        )
        vertices = shot.to_camera(pose_actor(body, actor).vertices)
        pixels = shot.view.project(vertices)
        box = np.stack([pixels.min(0), pixels.max(0)])
        whole = vertices[:, 2].min() > 0.5 and (box[0] > 0).all() and (box[1] < shot.size_wh).all()
        apart = all(np.hypot(actor.x_m - other.x_m, z - other.z_m) > 0.8 for other in cast)
        if whole and apart and all(_covered(box, other) < 0.3 for other in boxes):
            cast.append(actor)
            boxes.append(box)
        if len(cast) == count:
            break
    return cast


def _rotations(body: Body, rotvec: np.ndarray) -> torch.Tensor:
    local = torch.eye(3).repeat(len(body.bones), 1, 1)
    local[[body.bones.index(bone) for bone in body.moving_bones]] = roma.rotvec_to_rotmat(
        torch.as_tensor(rotvec, dtype=torch.float32)
    )
    return local


def _covered(one: np.ndarray, other: np.ndarray) -> float:
    """What two boxes (2, 2) have in common, as a share of the smaller one."""
    common = np.clip(np.minimum(one[1], other[1]) - np.maximum(one[0], other[0]), 0, None).prod()
    return common / min((one[1] - one[0]).prod(), (other[1] - other[0]).prod())


def pairs(found: np.ndarray, true: np.ndarray) -> list[tuple[int, int]]:
    """Who (N, 17, 2) is whom (M, 17, 2), the nearest first; nobody is taken twice."""
    if not len(found) or not len(true):
        return []
    sizes = np.ptp(true, axis=1).max(-1)
    off = np.median(np.linalg.norm(found[:, None] - true, axis=-1), -1) / sizes
    matched: list[tuple[int, int]] = []
    for f, t in np.stack(np.unravel_index(np.argsort(off, None), off.shape), 1).tolist():
        free = all(f != other and t != taken for other, taken in matched)
        if free and off[f, t] < SAME:
            matched.append((f, t))
    return matched


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Calls of the two networks, while this lasts."""
    calls: Counter[str] = Counter()
    call = Network.__call__

    def counting(self: Network, pixels: np.ndarray) -> list[np.ndarray]:
        calls["detector" if len(pixels) == DETECTOR_SIZE else "landmarks"] += 1
        return call(self, pixels)

    Network.__call__ = counting
    try:
        yield calls
    finally:
        Network.__call__ = call


@dataclass
class Tally:
    """What one version did on some pictures."""

    found: int = 0
    right: int = 0  # of those found: true people, or the other version's
    true: int = 0
    seconds: list[float] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def row(self) -> list:
        each = [self.calls[kind] / len(self.seconds) for kind in ("detector", "landmarks")]
        share = [100 * self.right / max(many, 1) for many in (self.found, self.true)]
        return [self.found, *share, *each, 1000 * float(np.mean(self.seconds))]

    def told(self) -> dict[str, float]:
        names = ("found", "precision", "recall", "detector_calls", "landmark_calls", "ms")
        return dict(zip(names, self.row()))


def another(file: Path, **options) -> Finder:
    """The BlazePose of another file that is like ``mpt/pose2d/blazepose.py``."""
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{file}: give a Python file like mpt/pose2d/blazepose.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module  # its dataclasses look there
    spec.loader.exec_module(module)
    return module.BlazePose(**options)


def look(finders: dict[str, Finder], photo: np.ndarray, rounds: int, tallies: dict[str, Tally]) -> dict:
    """Everybody's joints (N, 17, 2) by each finder, and into the tallies what that took."""
    found = {}
    for name, finder in finders.items():
        with counted() as calls:
            people = finder(photo)
        tallies[name].calls += calls
        found[name] = np.array([person.joints2d_px[BODY, :2] for person in people]).reshape(-1, 17, 2)
    jobs = {name: partial(finder, photo) for name, finder in finders.items()}
    for name, seconds in interleaved(jobs, rounds).items():
        tallies[name].seconds.append(seconds)
    return found


def score(found: np.ndarray, true: np.ndarray, tally: Tally) -> None:
    tally.found += len(found)
    tally.true += len(true)
    tally.right += len(pairs(found, true))


def main(
    store: Path,
    data: Path | None = None,
    cache: Path | None = None,
    count: int = 100,
    rounds: int = 3,
    also: Path | None = None,
    json: Path | None = None,
) -> None:
    """Count who is found in pictures and photos, calls of the networks and seconds.

    Args:
        store: poses, as `mpt prepare mocap` makes them; their validation split is shown.
        data: folder that holds images; without it no photos are looked at.
        cache: folder for the pictures; mpt's cache folder if not given.
        count: how many pictures.
        rounds: how often each picture is timed.
        also: another version of mpt/pose2d/blazepose.py, to take turns with.
        json: also write the figures to this file.
    """
    body = bodies.load()
    finders: dict[str, Finder] = {"installed": BlazePose(), "foreground": BlazePose(search="foreground")}
    if also is not None:
        finders["also"] = another(also)
    columns = ["", "found", "precision, %", "recall, %", "detector calls", "landmark calls", "ms"]
    tallies = {name: Tally() for name in finders}
    shown = pictures(cache or assets.cache_dir() / "crowds", PoseStore(store, body=body), body, count)
    for path, true in track(shown, "pictures", total=count):
        for name, found in look(finders, read_image(path), rounds, tallies).items():
            score(found, true, tallies[name])
    table(f"{count} pictures of {tallies['installed'].true} people", columns, rows(tallies))
    result = {"pictures": {name: tally.told() for name, tally in tallies.items()}}

    if data is not None:
        tallies = {name: Tally() for name in finders}
        reference = "installed" if also is None else "also"
        for path in track(sorted((data / "images").rglob("*.jpg")), "photos"):
            everybody = look(finders, read_image(path), rounds, tallies)
            for name, found in everybody.items():
                score(found, everybody[reference], tallies[name])
        told = f"{len(tallies[reference].seconds)} photos; right is whom '{reference}' finds"
        table(told, columns, rows(tallies))
        result["photos"] = {name: tally.told() for name, tally in tallies.items()}
    write_json(json, result)


def rows(tallies: dict[str, Tally]) -> list[list]:
    return [[name, *tally.row()] for name, tally in tallies.items()]


if __name__ == "__main__":
    tyro.cli(main)
