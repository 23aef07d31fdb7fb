"""The scenes that the program ships: three for the demo, and as many random ones as a benchmark wants."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import roma
import torch

from mpt import bodies
from mpt.bodies import Body
from mpt.scenes.backdrops import PLACES
from mpt.scenes.people import Outfit, random_outfit
from mpt.scenes.photograph import Actor, Scene, Shot, photograph, pose_actor
from mpt.scenes.poses import POSES, rotations

# gender (0 male, 1 female), age in Anny's units, muscle, weight, proportions; stature in metres
_PEOPLE = {
    "woman": ((0.95, 0.76, 0.42, 0.58, 0.6), 1.68),
    "man": ((0.05, 0.78, 0.60, 0.62, 0.6), 1.81),
    "stout_man": ((0.05, 0.82, 0.50, 0.95, 0.4), 1.76),
    "tall_woman": ((0.95, 0.80, 0.40, 0.72, 0.5), 1.74),
    "girl": ((0.90, 0.38, 0.40, 0.55, 0.5), 1.32),
}
_OUTFITS = {
    "woman": Outfit(
        skin=(0.82, 0.62, 0.50), hair=(0.30, 0.19, 0.12), shirt=(0.74, 0.28, 0.24),
        trousers=(0.19, 0.24, 0.36), shoes=(0.84, 0.83, 0.80), sleeve=0.5, bun=True, lips=0.7,
    ),
    "man": Outfit(
        skin=(0.55, 0.38, 0.28), hair=(0.09, 0.07, 0.06), shirt=(0.90, 0.90, 0.88),
        trousers=(0.24, 0.29, 0.36), shoes=(0.62, 0.24, 0.20), sleeve=0.5, leg=0.8,
        hair_volume_m=0.010, beard=0.5, lips=0.2,
    ),
    "stout_man": Outfit(
        skin=(0.85, 0.65, 0.55), hair=(0.52, 0.50, 0.48), shirt=(0.24, 0.42, 0.58),
        trousers=(0.44, 0.39, 0.32), shoes=(0.33, 0.22, 0.16), sleeve=1.93,
        stripes=(0.84, 0.85, 0.85), beard=0.8, lips=0.2,
    ),
    "tall_woman": Outfit(
        skin=(0.42, 0.28, 0.21), hair=(0.08, 0.06, 0.06), shirt=(0.88, 0.68, 0.34),
        trousers=(0.14, 0.14, 0.16), shoes=(0.80, 0.79, 0.77), sleeve=0.7, bun=True, lips=0.6,
    ),
    "girl": Outfit(
        skin=(0.86, 0.67, 0.57), hair=(0.55, 0.40, 0.24), shirt=(0.52, 0.67, 0.66),
        trousers=(0.55, 0.36, 0.45), shoes=(0.78, 0.40, 0.36), sleeve=1.4, bun=True, lips=0.4,
    ),
}  # fmt: skip


def demo_scenes(body: Body | None = None) -> Iterator[Scene]:
    """Three made-up photographs, the same on every call: somebody waving, a lunge, and a family of three."""
    body = bodies.load() if body is None else body

    def act(who: str, pose: str, **where) -> Actor:
        return Actor(rotations(body, POSES[pose]), _shape(body, who), _OUTFITS[who], **where)

    def take(name: str, place: str, shot: Shot, *actors: Actor) -> Scene:
        rng = np.random.default_rng(7)
        return photograph(body, actors, PLACES[place](rng), shot, rng, name)

    yield take(
        "waving", "park", Shot((960, 1280), 1500, 1.3, 2.8, 0.1, 8.0), act("woman", "waving", yaw_deg=12)
    )
    yield take(
        "lunge", "studio", Shot((1280, 960), 1400, 1.15, 3.3, 0, 8.0), act("man", "lunging", yaw_deg=38)
    )
    yield take(
        "family",
        "room",
        Shot((1440, 1080), 1350, 1.45, 3.9, 0.05, 9.0),
        act("tall_woman", "hands_on_hips", x_m=-1.05, z_m=-0.25, yaw_deg=22),
        act("stout_man", "sitting", x_m=0.05, z_m=0.25, yaw_deg=-16, seat=True),
        act("girl", "reaching", x_m=1.10, z_m=0.0, yaw_deg=-14),
    )


def _shape(body: Body, who: str) -> torch.Tensor:
    """(S,) the shape of one of the demo's people; the mean on a body without phenotypes."""
    if body.phenotypes is None:
        return torch.zeros(body.shape_count)
    (gender, age, muscle, weight, proportions), stature = _PEOPLE[who]
    phenotypes = torch.tensor([[gender, age, muscle, weight, 0.0, proportions]])
    return body.phenotypes.shape(body.phenotypes.with_stature(phenotypes, torch.tensor([stature])))[0]


def random_scene(
    body: Body,
    rotvec: np.ndarray,
    shape: np.ndarray,
    rng: np.random.Generator,
    *,
    pitch_deg: tuple[float, float] = (-6, 28),
) -> Scene:
    """One person in a given pose, dressed, placed and photographed at random; wholly inside the picture.

    rotvec: (bones, 3) local rotations of ``body.moving_bones``, root first. shape: (S,).
    pitch_deg: from where to where the camera looks down; from somewhat below the eyes to well above the head.
    """
    local = torch.eye(3).repeat(len(body.bones), 1, 1)
    moving = [body.bones.index(bone) for bone in body.moving_bones]
    local[moving] = roma.rotvec_to_rotmat(torch.as_tensor(np.asarray(rotvec), dtype=torch.float32))
    actor = Actor(
        local,
        torch.as_tensor(np.asarray(shape), dtype=torch.float32),
        random_outfit(rng),
        yaw_deg=float(rng.uniform(-180, 180)),
    )
    place = PLACES[rng.choice(list(PLACES))](rng)
    shot = _framing(pose_actor(body, actor).vertices, rng, pitch_deg)
    return photograph(body, [actor], place, shot, rng)


def _framing(vertices: np.ndarray, rng: np.random.Generator, pitch_deg: tuple[float, float]) -> Shot:
    """A camera that holds all vertices, and stays above the floor."""
    sizes = [(720, 960), (960, 720), (1280, 720), (840, 840)]
    size = np.array(sizes[rng.integers(len(sizes))])
    focal = float(rng.uniform(0.8, 1.7) * size.max())
    pitch, roll = float(rng.uniform(*pitch_deg)), float(rng.normal(0, 2))
    filled = float(rng.uniform(0.45, 0.88))
    off_centre = rng.uniform(-1, 1)
    middle = (vertices.min(0) + vertices.max(0)) / 2
    distance = 1.2
    for _ in range(100):
        height = max(middle[1] + distance * np.sin(np.radians(pitch)), 0.25)
        aim = np.degrees(np.arcsin(np.clip((height - middle[1]) / distance, -1, 1)))
        shot = Shot(
            tuple(size.tolist()), focal, height, middle[2] + distance, middle[0], aim, roll, grain=0.012
        )
        pixels = shot.view.project(shot.to_camera(vertices))
        low, high = pixels.min(0), pixels.max(0)
        if shot.to_camera(vertices)[:, 2].min() > 0.5 and ((high - low) < filled * size).all():
            break
        distance *= 1.06
    spare_px = 0.7 * min(low[0], size[0] - high[0])
    return replace(shot, x_m=shot.x_m + off_centre * spare_px * distance / focal)
