"""Whether standing people stand: how far their knees bend, and which way the model takes for up.

python benchmarks/standing.py --model mpt-small --store all.store

A knee's flexion is told by the mesh's hip, knee and ankle; 0 is a straight line. Measured are

- poses written by hand, on random people before random cameras that look down by -10 to 40 degrees: their
  true maps and ones with a detector's noise, and pictures of them through BlazePose;
- the people of the demo, from their true 2D joints and through BlazePose;
- frames of a store's validation subjects who stand still.

The pictures are made once and kept in a folder. Models that tell no up are measured by their knees alone.
"""

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import roma
import torch
import tyro
from measuring import as_jpeg, keep_to, table, write_json
from rich.progress import track
from torch import Tensor

from mpt import assets, bodies, checkpoint
from mpt.bodies import Body
from mpt.cameras import RandomCameras
from mpt.checkpoint import Model
from mpt.datasets.store import PoseStore
from mpt.datasets.synthetic import Synthesizer, SyntheticConfig
from mpt.datasets.widening import NO_WIDENING
from mpt.demo import match
from mpt.heatmaps import DETECTOR, PERFECT, HeatmapNoise
from mpt.modeling.upright import look_upright
from mpt.recipes.evaluate import spread
from mpt.recipes.loop import batches
from mpt.reconstruction import Reconstruction
from mpt.reconstructor import Reconstructor
from mpt.scenes import Scene, Subject, demo_scenes, random_scene
from mpt.scenes.poses import POSES, Turn, rotations
from mpt.skeletons import Skeleton, remap
from mpt.writing import write_whole

SEED = 20240611
PITCH_DEG = (-10, 40)
CAMERAS = RandomCameras(pitch_deg=PITCH_DEG, level_share=0.0, roll_deg=(-3, 3))
PITCHES = range(*PITCH_DEG, 10)
AT_ONCE = 32
LEAST = 30  # poses of somebody who is measured
STRAIGHT_DEG = 35  # who bends no knee by more stands
HANGING: dict[str, Turn] = {
    "left_shoulder": (10, -8, -32), "right_shoulder": (10, 8, 32), "left_elbow": -14, "right_elbow": -14,
}  # fmt: skip
TOGETHER: dict[str, Turn] = {"left_hip": (0, 0, -8), "right_hip": (0, 0, 8)}
ON_HIPS: dict[str, Turn] = {part: POSES["hands_on_hips"][part] for part in HANGING}
STANDING: dict[str, dict[str, Turn]] = {
    "upright": HANGING | {"left_hip": (0, 0, -4), "right_hip": (0, 0, 4)},
    "at attention": HANGING | TOGETHER | {"spine3": (-4, 0, 0), "head": (-2, 0, 0)},
    "feet apart": HANGING
    | {"left_hip": (0, 0, 6), "right_hip": (0, 0, -6), "left_ankle": (0, 0, -6), "right_ankle": (0, 0, 6)},
    "hands on hips": ON_HIPS | {"head": (0, -14, 0)},
    "hands on hips, feet apart": ON_HIPS | {"left_hip": (0, 10, 4), "right_hip": (0, -10, -4)},
    "weight on the left leg": HANGING
    | {"pelvis": (0, 0, 4), "spine1": (0, 0, -6), "left_hip": (0, 0, -9), "right_hip": (-10, -6, -6),
       "right_knee": (18, 0, 0), "right_ankle": (-6, 0, 0)},
    "weight on the right leg": HANGING
    | {"pelvis": (0, 0, -4), "spine1": (0, 0, 6), "right_hip": (0, 0, 9), "left_hip": (-14, 10, 8),
       "left_knee": (24, 0, 0), "left_ankle": (-8, 0, 0)},
    "leaning forward": HANGING
    | TOGETHER
    | {"pelvis": (6, 0, 0), "left_ankle": (-6, 0, 0), "right_ankle": (-6, 0, 0)},
    "leaning back": HANGING
    | {"pelvis": (-5, 0, 0), "spine1": (-3, 0, 0), "left_ankle": (5, 0, 0), "right_ankle": (5, 0, 0)},
    "looking at a telephone": HANGING
    | {"right_shoulder": (-12, 14, 28), "right_elbow": 62, "neck": (12, 0, 0), "head": (16, 8, 0)},
    "arms before the chest": TOGETHER
    | {"left_shoulder": (-18, -30, -20), "right_shoulder": (-18, 30, 20),
       "left_elbow": 58, "right_elbow": 58},
    "one foot ahead": HANGING
    | {"left_hip": (-12, 0, -4), "left_ankle": (10, 0, 0),
       "right_hip": (10, 0, 4), "right_ankle": (-8, 0, 0)},
}  # fmt: skip
"""Degrees, as those of ``mpt.scenes.poses``: straight knees but for a leg that bears no weight."""


@dataclass(frozen=True)
class Look:
    """N people, the truth or a model's answer."""

    knees: np.ndarray  # (N, 2) flexion of the left and the right one, degrees
    up: np.ndarray | None  # (N, 3) unit vectors in the axes of the joints


@dataclass(frozen=True)
class Errors:
    """What a model makes of N people."""

    flexion: np.ndarray  # (N, 2) true, degrees
    more: np.ndarray  # (N, 2) by which the model bends them more
    pitch: np.ndarray | None = None  # (N,) degrees by which the camera looks down on them
    up: np.ndarray | None = None  # (N,) degrees by which the model's up is off

    @staticmethod
    def of(looks: Sequence[tuple[Look, Look]]) -> "Errors":
        """Of true and found people."""
        true, found = (np.concatenate([look.knees for look in each]) for each in zip(*looks))
        if any(look.up is None for pair in looks for look in pair):
            return Errors(true, found - true)
        true_up, up = (np.concatenate([look.up for look in each]) for each in zip(*looks))
        return Errors(true, found - true, np.degrees(np.arcsin(-true_up[:, 2])), between(true_up, up))


def knees(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
    """(..., J, 3) -> (..., 2) flexion of the left and the right knee in degrees, from 0 to 180."""
    bent = []
    for side in ("left", "right"):
        hip, knee, ankle = (joints[..., skeleton.index(f"{side}_{j}"), :] for j in ("hip", "knee", "ankle"))
        bent.append(between(knee - hip, ankle - knee))
    return np.stack(bent, -1)


def between(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """(..., 3) and (..., 3) -> (...) the angle between them in degrees."""
    lengths = np.linalg.norm(one, axis=-1) * np.linalg.norm(other, axis=-1)
    return np.degrees(np.arccos(((one * other).sum(-1) / lengths).clip(-1, 1)))


def standing(body: Body) -> np.ndarray:
    """(poses, bones, 3) local rotations of STANDING, axis-angle, of ``body.moving_bones``."""
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    local = torch.stack([rotations(body, pose)[moving] for pose in STANDING.values()])
    return roma.rotmat_to_rotvec(local).numpy()


def still(store: PoseStore, body: Body) -> dict[str, np.ndarray]:
    """Of each validation subject the poses who stand still: the trunk within 15 degrees of upright, the feet
    on one level and less than half a metre apart, and no bone turned by two degrees in the tenth of a
    second before or after.
    """
    index = store.validation
    frame, sequence = store.frame(), store.sequence()
    follows = np.diff(sequence) == 0
    fps = np.array([about.fps for about in store.sequences])[sequence]
    waited = np.append(follows & (np.diff(frame) >= fps[1:] / 10), False)
    idle = index[waited[index] | np.roll(waited, 1)[index]]
    idle = idle[store.kind(idle).trunk_tilt < 15]
    joints = posed(body, torch.from_numpy(store.rotvec(idle)), torch.zeros(1, body.shape_count)).numpy()
    apart = joints[:, body.skeleton.index("left_ankle")] - joints[:, body.skeleton.index("right_ankle")]
    stands = (np.abs(apart[:, 1]) < 0.04) & (np.linalg.norm(apart, axis=1) < 0.5)
    idle = idle[stands & (store.kind(idle).pelvis_height > 0.8)]
    who = np.array([about.subject for about in store.sequences])[sequence[idle]]
    return {subject: idle[who == subject] for subject in sorted(set(who))}


def posed(body: Body, rotvec: Tensor, shape: Tensor) -> Tensor:
    """(N, J, 3) joints in the world of poses (N, moving bones, 3) on shapes (N, S)."""
    posable = body.with_bones(body.moving_bones).subset(torch.empty(0, dtype=torch.long))
    return posable(roma.rotvec_to_rotmat(rotvec), shape).joints


def turned_up(world: Tensor, seen: Tensor) -> np.ndarray:
    """(N, 3) where the world's y points in the axes of ``seen``: joints (N, J, 3) of the same people."""
    rotation, _ = roma.rigid_points_registration(world, seen)
    return rotation[:, :, 1].numpy()


def views(
    body: Body, rotvec: np.ndarray, noise: HeatmapNoise, size: int, coarse: int
) -> Iterator[tuple[Tensor, Look]]:
    """Maps (n, J, size, size) of poses (N, moving bones, 3), each on a random person before a random camera,
    and the truth; the same on every call.
    """
    config = SyntheticConfig(
        random_cameras=CAMERAS, widening=NO_WIDENING, noise=noise, truncation=0.0,
        crop_factor=(1.25, 1.25), crop_shift=0.0, fine_vertices=0,
    )  # fmt: skip
    synthesize = Synthesizer(
        body, body.moving_bones, config, inputs="patches", coarse_vertices=coarse, heatmap_size=size
    )
    generator = torch.Generator().manual_seed(SEED)
    for some in batches(len(rotvec), AT_ONCE):
        poses = torch.from_numpy(rotvec[some])
        shape = body.sample_shapes(len(poses), generator)
        batch = synthesize(poses, generator, shape=shape)
        up = turned_up(posed(body, poses, shape), batch.joints)
        yield batch.seen, Look(knees(batch.joints.numpy(), body.skeleton), up)


@torch.inference_mode()
def of_maps(model: Model, body: Body, rotvec: np.ndarray, noise: HeatmapNoise) -> Errors:
    """Errors on maps of poses (N, moving bones, 3), read as `mpt reconstruct` reads a picture's."""
    config = model.transformer.config
    order = remap(body.skeleton, model.skeleton)
    looks = []
    for maps, true in views(body, rotvec, noise, config.heatmap_size, config.coarse_vertices):
        found = look_upright(model.transformer, maps[:, order], model.skeleton)
        up = getattr(found, "up", None)
        joints = found.regressed.numpy()
        looks.append((true, Look(knees(joints, model.skeleton), None if up is None else up.numpy())))
    return Errors.of(looks)


def pictures(folder: Path, body: Body, count: int) -> Iterator[Scene]:
    """The first ``count`` pictures of a fixed series of standing people, made where absent.

    Raises InputError for a folder that holds pictures of other poses or another body.
    """
    poses = standing(body)
    keep_to(folder, body, poses, SEED)
    people = body.sample_shapes(4096, torch.Generator().manual_seed(SEED)).numpy()
    for k in range(count):
        path = folder / f"{k:03d}.npz"
        if not path.exists():
            rng = np.random.default_rng([SEED, k])
            scene = random_scene(
                body, poses[k % len(poses)], people[k % len(people)], rng, pitch_deg=PITCH_DEG
            )
            write_whole(path, _packed(scene))
        with np.load(path) as arrays:
            yield _unpacked(path.stem, arrays)


def _packed(scene: Scene) -> bytes:
    (person,) = scene.people
    buffer = io.BytesIO()
    np.savez(buffer, image=as_jpeg(scene.image), K=scene.K, up=scene.up, **vars(person))
    return buffer.getvalue()


def _unpacked(name: str, arrays: Mapping[str, np.ndarray]) -> Scene:
    image = np.ascontiguousarray(cv2.imdecode(arrays["image"], cv2.IMREAD_COLOR)[..., ::-1])
    person = Subject(**{part.name: arrays[part.name] for part in fields(Subject)})
    return Scene(name, image, arrays["K"], (person,), arrays["up"])


def of_scenes(
    scenes: Iterable[Scene], body: Body, read: Callable[[Scene], list[Reconstruction]]
) -> Errors | None:
    """Errors of the standing people in pictures whom ``read`` finds; None where it finds nobody."""
    looks = []
    for scene in scenes:
        found = read(scene)
        for true, k in zip(scene.people, match(found, scene.people)):
            bent = knees(true.joints, body.skeleton)
            if k is None or bent.max() > STRAIGHT_DEG:
                continue
            up = getattr(found[k], "up", None)
            answer = Look(knees(found[k].joints3d, found[k].skeleton)[None], None if up is None else up[None])
            looks.append((Look(bent[None], scene.up[None]), answer))
    return Errors.of(looks) if looks else None


def main(
    model: str = "mpt-small",
    store: Path | None = None,
    cache: Path | None = None,
    count: int = 60,
    samples: int = 600,
    json: Path | None = None,
) -> None:
    """Measure the knees of standing people, and the up that the model tells.

    Args:
        model: a name, a model file or a run folder.
        store: poses, as `mpt prepare mocap` makes them; those of its validation subjects who stand still.
        cache: folder for the pictures; mpt's cache folder if not given.
        count: how many pictures; 0 leaves them out.
        samples: how many maps of the written poses, and at most of each subject of the store.
        json: also write the figures to this file.
    """
    torch.set_num_threads(1)
    mesh_model, body = checkpoint.load(model), bodies.load()
    reconstructor, order = Reconstructor(mesh_model), remap(body.skeleton, mesh_model.skeleton)

    def seen(scene: Scene) -> list[Reconstruction]:
        return reconstructor(scene.image, focal_px=float(scene.K[0, 0]))

    def known(scene: Scene) -> list[Reconstruction]:
        points = np.stack([np.column_stack([p.joints2d_px, np.ones(len(p.joints))]) for p in scene.people])
        return reconstructor(scene.image, keypoints=points[:, order], focal_px=float(scene.K[0, 0]))

    poses = {"written poses": np.resize(standing(body), (samples, len(body.moving_bones), 3))}
    if store is not None:
        opened = PoseStore(store, body=body)
        poses |= {
            f"{who} still": opened.rotvec(spread(index, samples))
            for who, index in still(opened, body).items()
            if len(index) >= LEAST
        }
    found: dict[str, Errors | None] = {}
    for name, rotvec in poses.items():
        for maps, noise in (("true maps", PERFECT), ("noisy maps", DETECTOR)):
            found[f"{name}, {maps}"] = of_maps(mesh_model, body, rotvec, noise)
    folder = cache or assets.cache_dir() / "standing"
    for name, read in (("true points", known), ("BlazePose", seen)):
        found[f"demo, {name}"] = of_scenes(demo_scenes(body), body, read)
        if count:
            shown = track(pictures(folder, body, count), f"pictures, {name}", total=count)
            found[f"pictures, {name}"] = of_scenes(shown, body, read)

    errors = {name: one for name, one in found.items() if one is not None}
    columns = ["", "people", "true", "found", "off: mean", "median", "90 %"]
    rows = [[name, len(one.more), *knee_figures(one).values()] for name, one in errors.items()]
    table(f"{model}: flexion of knees, degrees", columns, rows)
    told = {name: up_figures(one) for name, one in errors.items() if one.up is not None}
    if told:
        names = [f"pitch {low} to {low + 10}" for low in PITCHES]
        rows = [
            [name, *(figures.get(column) for column in ["mean", "90 %", *names])]
            for name, figures in told.items()
        ]
        table(f"{model}: up is off by, degrees", ["", "mean", "90 %", *names], rows)
    else:
        print(f"{model} tells no up: that is not measured")
    figures = {
        name: {"people": len(one.more), "knees_deg": knee_figures(one), "up_off_deg": told.get(name)}
        for name, one in errors.items()
    }
    write_json(json, {"model": model, "sets": figures})


def knee_figures(errors: Errors) -> dict[str, float]:
    """Over all knees, degrees."""
    more = errors.more
    return {
        "true": float(errors.flexion.mean()),
        "found": float((errors.flexion + more).mean()),
        "mean": float(more.mean()),
        "median": float(np.median(more)),
        "90 %": float(np.percentile(np.abs(more), 90)),
    }


def up_figures(errors: Errors) -> dict[str, float]:
    """Of all, and the mean of those on whom the camera looks down by so much."""
    if errors.up is None or errors.pitch is None:
        return {}
    found = {"mean": float(errors.up.mean()), "90 %": float(np.percentile(errors.up, 90))}
    for low in PITCHES:
        inside = (errors.pitch >= low) & (errors.pitch < low + 10)
        if inside.any():
            found[f"pitch {low} to {low + 10}"] = float(errors.up[inside].mean())
    return found


if __name__ == "__main__":
    tyro.cli(main)
