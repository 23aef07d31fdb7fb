"""Films with exact truth: motion capture on random bodies, dressed, before a camera in made-up places.

python benchmarks/make_films.py --mocap FOLDER --out films
python benchmarks/make_films.py --mocap FOLDER --out tuning --cast tune

FOLDER holds sets of motion capture (cmu, cmu2, o3de_mm, reactidle, snu_tiling), of which the films show the
subjects that `mpt prepare mocap` kept for validation. Feet that are down are held still on the floor
(``planting.py``). One film takes a minute of one core.

Beside NAME.mp4 (H.264) lies NAME.npz. P people, F frames, J joints, B bones; the world is y up, the floor 0:

    names (J,), joints3d_m (P, F, J, 3) in camera axes, from the lens; joints2d_px (P, F, J, 2)
    seen (P, F, J)       whether joints are inside the picture and behind nobody else
    down (P, F, 2, 2)    whether heel and toes of the left and of the right foot rest on the floor
    K (3, 3), rotation (F, 3, 3), position_m (F, 3)    x_camera = rotation @ (x_world - position_m)
    people (P,), bones (B,), rotvec (P, F, B, 3), shape (P, S), translation_m (P, F, 3)    in the world
    fps
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

import av
import numpy as np
import roma
import torch
import tyro
from planting import on_its_floor
from rich.progress import track

import mpt.mocap
from mpt import bodies
from mpt.bodies import Body
from mpt.bodies.motion import BodyMotion
from mpt.errors import InputError
from mpt.mocap import Motion
from mpt.mocap.straighten import LimbLengths, straighten
from mpt.render import Meshes
from mpt.scenes import Shot, random_outfit
from mpt.scenes.backdrops import PLACES
from mpt.scenes.photograph import Posed, picture
from mpt.skeletons import COCO17
from mpt.writing import write_whole

SEED = 20240613
FPS = 30
SIZE_WH = 640, 480
STILL_MM = 0.5  # a frame: what rests moves less
STATURES_M = 1.45, 1.95
BESIDE_M = 0.1  # by which somebody's skin is before another's joint that it hides


@dataclass(frozen=True)
class Part:
    """Who moves: frames of a file at 30 a second, and where the first of them stands."""

    file: str
    frames: slice
    x_m: float = 0.0
    z_m: float = 0.0
    yaw_deg: float = 0.0


Move = Literal["still", "hand", "pan"]


@dataclass(frozen=True)
class Film:
    """Who is seen where, and by what camera: held still, in a hand, or turning after the first person."""

    parts: tuple[Part, ...]
    place: str
    focal_px: float
    height_m: float = 1.4
    pitch_deg: float = 4.0
    move: Move = "still"
    distance_m: float | None = None  # from the origin; if not told, everybody is always in the picture


def _rin(name: str) -> str:
    return f"o3de_mm/rin/{name}.npz"


FILMS = {
    "test": {
        "walk": Film((Part(_rin("Walk1"), slice(570, 690)),), "park", 620),
        "run": Film((Part("cmu/127/127_17.npz", slice(0, 96), yaw_deg=75),), "park", 700, move="hand"),
        "jump": Film((Part("cmu/02/02_04.npz", slice(0, 121), yaw_deg=25),), "room", 560),
        "dance": Film((Part("cmu/05/05_02.npz", slice(140, 270), yaw_deg=-20),), "studio", 800),
        "bend": Film((Part("cmu/02/02_06.npz", slice(60, 170), yaw_deg=35),), "room", 640, move="hand"),
        "cross": Film(
            (
                Part("cmu/05/05_01.npz", slice(15, 105), -1.4, -0.4, 90),
                Part(_rin("Walk1"), slice(90, 180), 1.8, 0.4, 159),
            ),
            "park", 660, distance_m=5.0,
        ),
        "apart": Film(
            (
                Part("reactidle/014/014_acted.npz", slice(60, 170), -0.75, 0.0, 15),
                Part("snu_tiling/mmk/mmk_wave.npz", slice(60, 170), 0.7, -0.5, 130),
            ),
            "room", 600,
        ),
        "return": Film(
            (
                Part(_rin("Walk1"), slice(420, 550), -0.6, -0.8),
                Part("reactidle/014/014_genuine.npz", slice(120, 250), 0.7, 0.0, -20),
            ),
            "park", 720, distance_m=4.6,
        ),
        "pan": Film((Part(_rin("WalkStopTurn1"), slice(330, 440)),), "park", 760, move="pan", distance_m=4.4),
    },
    "tune": {
        "turn": Film((Part(_rin("WalkTurns1"), slice(200, 320), yaw_deg=-60),), "park", 640),
        "dance": Film((Part("snu_tiling/mmk/mmk_dance.npz", slice(30, 140)),), "studio", 700, move="hand"),
        "cross": Film(
            (
                Part("cmu/02/02_01.npz", slice(0, 86), -1.2, 0.0, 90),
                Part(_rin("WalkTurns1"), slice(520, 610), 2.0, -1.2, 0),
            ),
            "park", 620,
        ),
        "late": Film(
            (
                Part("cmu/127/127_05.npz", slice(0, 97), -4.3, -0.6, 80),
                Part("reactidle/014/014_genuine.npz", slice(20, 117), 1.0, 0.2, -10),
            ),
            "park", 700, distance_m=4.8,
        ),
    },
}  # fmt: skip


def stage(parts: tuple[Part, ...], mocap: Path, body: Body, rng: np.random.Generator) -> list[BodyMotion]:
    """Everybody's motion, each on a random body, where the film wants it."""
    return [_placed(on_its_floor(_window(part, mocap), body, _grown(body, rng)), part) for part in parts]


def _window(part: Part, mocap: Path) -> Motion:
    motion = mpt.mocap.read(mocap / part.file)
    lengths = _lengths((mocap / part.file).parent)
    motion = straighten(motion, lengths.scales(motion)).resampled(FPS)
    return replace(motion, rotvec=motion.rotvec[part.frames], trans=motion.trans[part.frames])


@lru_cache
def _lengths(folder: Path) -> LimbLengths:
    """What all clips of a person tell of their limbs."""
    lengths = LimbLengths()
    for file in mpt.mocap.find([folder]):
        lengths.see(mpt.mocap.read(file))
    return lengths


def _grown(body: Body, rng: np.random.Generator) -> np.ndarray:
    """(S,) somebody's random shape."""
    generator = torch.Generator().manual_seed(int(rng.integers(2**31)))
    while True:
        shape = body.sample_shapes(1, generator)
        height = body.rest(shape).vertices[0, :, 1]
        if STATURES_M[0] < float(height.max() - height.min()) < STATURES_M[1]:
            return shape[0].numpy()


def _placed(motion: BodyMotion, part: Part) -> BodyMotion:
    """Turned about the vertical and moved: it begins at the part's place."""
    yaw = torch.tensor([0, np.radians(part.yaw_deg), 0])
    head = motion.body.heads[0].numpy() + motion.shape @ motion.body.heads_basis[:, 0].numpy()
    root = (motion.translation_m + head) @ roma.rotvec_to_rotmat(yaw).numpy().T
    rotvec = motion.rotvec.copy()
    turned = roma.rotvec_composition((yaw.expand(len(motion), 3).float(), torch.from_numpy(rotvec[:, 0])))
    rotvec[:, 0] = turned.numpy()
    moved = root - head + np.array([part.x_m, 0, part.z_m])
    return replace(motion, rotvec=rotvec, translation_m=moved.astype(np.float32))


@torch.inference_mode()
def posed(motion: BodyMotion) -> list[Posed]:
    """The naked body in the world, frame by frame."""
    rotations = roma.rotvec_to_rotmat(torch.from_numpy(motion.rotvec))
    shape, translation = torch.from_numpy(motion.shape)[None], torch.from_numpy(motion.translation_m)
    output = motion.body(rotations, shape, translation)
    return [Posed(*both) for both in zip(output.vertices.numpy(), output.joints.numpy())]


def shots(film: Film, everybody: list[list[Posed]], rng: np.random.Generator) -> list[Shot]:
    """The camera of each frame."""
    frames = len(everybody[0])
    first = Shot(
        SIZE_WH, film.focal_px, film.height_m, film.distance_m or 0.0, pitch_deg=film.pitch_deg, grain=0.012
    )
    if film.distance_m is None:
        first = _far_enough(first, np.stack([p.vertices[::17] for people in everybody for p in people[::5]]))
    if film.move == "pan":
        hips = np.stack([p.joints[COCO17.indices("left_hip", "right_hip")].mean(0) for p in everybody[0]])
        yaw = np.degrees(np.arctan2(hips[:, 0] - first.x_m, first.distance_m - hips[:, 2]))
        return [replace(first, yaw_deg=float(angle)) for angle in _slowly(yaw)]
    if film.move == "still":
        return [first] * frames
    sway = _sway(frames, rng) * [0.6, 0.5, 0.5, 0.012, 0.010, 0.012]
    return [
        replace(
            first, yaw_deg=yaw, pitch_deg=first.pitch_deg + pitch, roll_deg=roll, x_m=first.x_m + x,
            height_m=first.height_m + y, distance_m=first.distance_m + z,
        )
        for yaw, pitch, roll, x, y, z in sway.tolist()
    ]  # fmt: skip


def _far_enough(shot: Shot, points: np.ndarray) -> Shot:
    """The camera before the middle of all points (..., 3), as near as they fit into the picture."""
    points = points.reshape(-1, 3)
    middle, nearest = (points.min(0) + points.max(0)) / 2, points[:, 2].max()
    for away in np.arange(1.5, 20, 0.1):
        shot = replace(shot, x_m=float(middle[0]), distance_m=float(nearest + away))
        share = shot.view.project(shot.to_camera(points)) / SIZE_WH
        if share.min() > 0.05 and share.max() < 0.95:
            break
    return shot


def _slowly(values: np.ndarray) -> np.ndarray:
    """A camera follows a third of a second late, and smoothly."""
    followed = [values[0]]
    for value in values[1:]:
        followed.append(followed[-1] + (value - followed[-1]) / 10)
    return np.array(followed)


def _sway(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, 6) a hand's tremor and sway, about 1."""
    time = np.arange(frames)[:, None, None] / FPS
    hertz, phase = rng.uniform(0.2, 1.8, (6, 4)), rng.uniform(0, 2 * np.pi, (6, 4))
    return (np.sin(2 * np.pi * hertz * time + phase) / (1 + hertz)).sum(-1)


def seen(everybody: list[Posed], shot: Shot, faces: np.ndarray) -> np.ndarray:
    """(P, J) joints inside the picture and not behind another person."""
    found = []
    for one in everybody:
        joints = shot.to_camera(one.joints)
        pixels = shot.view.project(joints)
        inside = (joints[:, 2] > 0.1) & ((pixels > -0.5) & (pixels < np.array(SIZE_WH) - 0.5)).all(1)
        for other in everybody:
            if other is not one and _overlap(one, other, shot):
                distance = np.linalg.norm(joints, axis=1)
                hits = Meshes([(shot.to_camera(other.vertices), faces)]).cast(
                    np.zeros(joints.shape, np.float32), (joints / distance[:, None]).astype(np.float32)
                )
                inside[hits.ray[hits.distance < distance[hits.ray] - BESIDE_M]] = False
        found.append(inside)
    return np.stack(found)


def _overlap(one: Posed, other: Posed, shot: Shot) -> bool:
    """Whether their boxes in the picture do."""
    boxes = [shot.view.project(shot.to_camera(p.vertices)) for p in (one, other)]
    low, high = np.max([box.min(0) for box in boxes], 0), np.min([box.max(0) for box in boxes], 0)
    return bool((low < high).all())


def down(joints: np.ndarray, names: list[str]) -> np.ndarray:
    """(F, 2, 2) whether left and right heel and toes rest, of joints (F, J, 3) in the world.

    They do from one frame to the next where they hardly move and are low: both frames count.
    """
    parts = [("heel",), ("big_toe", "small_toe")]
    found = np.zeros((len(joints), 2, 2), bool)
    for side, left_or_right in enumerate(("left", "right")):
        for part, ends in enumerate(parts):
            at = joints[:, [names.index(f"{left_or_right}_{end}") for end in ends]]
            still = (np.linalg.norm(np.diff(at, axis=0), axis=-1) < STILL_MM / 1000).all(1)
            still &= (at[1:, :, 1] < 0.08).all(1)
            found[1:, side, part] |= still
            found[:-1, side, part] |= still
    return found


def truth(film: Film, motions: list[BodyMotion], everybody: list[list[Posed]], cameras: list[Shot]) -> dict:
    """The arrays of the file beside the film."""
    body = motions[0].body
    names, faces = list(body.skeleton.joints), body.faces.numpy()
    world = np.stack([[p.joints for p in people] for people in everybody])  # (P, F, J, 3)
    camera = np.stack([shot.to_camera(world[:, f]) for f, shot in enumerate(cameras)], 1)
    pixels = np.stack([shot.view.project(camera[:, f]) for f, shot in enumerate(cameras)], 1)
    frames = list(zip(*everybody))
    return {
        "names": np.array(names),
        "joints3d_m": camera.astype(np.float32),
        "joints2d_px": pixels.astype(np.float32),
        "seen": np.stack([seen(list(now), shot, faces) for now, shot in zip(frames, cameras)], 1),
        "down": np.stack([down(joints, names) for joints in world]),
        "K": cameras[0].K,
        "rotation": np.stack([shot.rotation for shot in cameras]),
        "position_m": np.array([[shot.x_m, shot.height_m, shot.distance_m] for shot in cameras]),
        "fps": np.float64(FPS),
        "people": np.arange(len(motions)),
        "bones": np.array(body.bones),
        "rotvec": np.stack([motion.rotvec for motion in motions]),
        "shape": np.stack([motion.shape for motion in motions]),
        "translation_m": np.stack([motion.translation_m for motion in motions]),
    }


def encoded(pictures: Iterator[np.ndarray]) -> bytes:
    """Pictures (H, W, 3) uint8 RGB as an MP4 with H.264."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"crf": "21", "threads": "1"})
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        for image in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def make(
    film: Film, mocap: Path, body: Body, rng: np.random.Generator, watched: Callable = iter
) -> tuple[bytes, dict[str, np.ndarray]]:
    """The film's file and its truth; ``watched`` is given the cameras, and shows how far it has come."""
    motions = stage(film.parts, mocap, body, rng)
    frames = min(map(len, motions))
    everybody = [posed(motion)[:frames] for motion in motions]
    motions = [
        replace(
            m, rotvec=m.rotvec[:frames], translation_m=m.translation_m[:frames], times_s=m.times_s[:frames]
        )
        for m in motions
    ]
    cameras = shots(film, everybody, rng)
    outfits, place = [random_outfit(rng) for _ in motions], PLACES[film.place](rng)
    pictures = (
        picture(body, outfits, [people[f] for people in everybody], place, shot, rng)
        for f, shot in enumerate(watched(cameras))
    )
    return encoded(pictures), truth(film, motions, everybody, cameras)


def main(mocap: Path, out: Path, cast: Literal["test", "tune"] = "test", only: tuple[str, ...] = ()) -> None:
    """Make the films and their truth.

    Args:
        mocap: folder with sets of motion capture.
        out: folder for the films.
        cast: those that are measured, or others to tune on.
        only: some of them, by name.
    """
    body = bodies.load()
    if unknown := set(only) - set(FILMS[cast]):
        raise InputError(f"there is no film {min(unknown)!r}; there are {', '.join(FILMS[cast])}")
    out.mkdir(parents=True, exist_ok=True)
    for number, (name, film) in enumerate(FILMS[cast].items()):
        if only and name not in only:
            continue
        rng = np.random.default_rng([SEED, *cast.encode(), number])
        content, arrays = make(film, mocap, body, rng, lambda cameras, name=name: track(cameras, name))
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        write_whole(out / f"{name}.npz", buffer.getvalue())
        write_whole(out / f"{name}.mp4", content)


if __name__ == "__main__":
    tyro.cli(main)
