"""Films with exact truth, scored: who is found and stays the same person, errors in mm, jitter, sliding feet.

python benchmarks/films.py --films films --results results
python benchmarks/films.py --films films --results alone --baseline

FILMS is what ``make_films.py`` makes; RESULTS holds for each NAME.mp4 a folder NAME with ``personK.npz``, as
`mpt reconstruct NAME.mp4 --out RESULTS` writes it. ``--baseline`` first writes there what photos give: every
frame reconstructed alone, people linked to the nearest of the frame before.

In each frame people are those whose 2D joints are nearest, the median joint within a quarter of their size.

found      share of people in the picture (at least nine of COCO's 17 joints seen) whom somebody is
swaps      how often a true person becomes another id than before (MOT's identity switches)
MPJPE      mm over COCO's 17 joints about the mid-hip, in camera axes; PA-MPJPE: after a similarity
jitter     acceleration error, mm/frame^2: the mean length over the joints of second differences of predicted
           less true, about the mid-hip, and (placed) where the person is
rest       mm that ankles move from a frame to the next where their true heel or toes are down and they truly
           move less than a millimetre; in the world: the true motion of the camera is taken out
depth      mm, of the mid-hip along the optical axis
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
import torch
import tyro
from finding import pairs
from measuring import HIPS, table, write_json

import mpt
from mpt.errors import InputError
from mpt.metrics import mpjpe, pa_mpjpe
from mpt.skeletons import COCO17

FEWEST_SEEN = 9  # of 17 joints, of somebody who is in the picture
REST_MM = 1.0
ANKLES = COCO17.indices("left_ankle", "right_ankle")
BODY = len(COCO17)


@dataclass(frozen=True)
class Truth:
    """P people in F frames; COCO's 17 joints."""

    joints3d_m: np.ndarray  # (P, F, 17, 3) camera axes, from the lens
    joints2d_px: np.ndarray  # (P, F, 17, 2)
    present: np.ndarray  # (P, F)
    down: np.ndarray  # (P, F, 2) whether any of a foot is down
    rotation: np.ndarray  # (F, 3, 3)
    position_m: np.ndarray  # (F, 3)
    fps: float

    @staticmethod
    def read(path: Path) -> "Truth":
        with np.load(path) as arrays:
            joints = [arrays["names"].tolist().index(name) for name in COCO17.joints]
            return Truth(
                arrays["joints3d_m"][:, :, joints].astype(float),
                arrays["joints2d_px"][:, :, joints].astype(float),
                arrays["seen"][:, :, joints].sum(-1) >= FEWEST_SEEN,
                arrays["down"].any(-1),
                arrays["rotation"],
                arrays["position_m"],
                float(arrays["fps"]),
            )

    def in_world(self, points: np.ndarray, frames: np.ndarray) -> np.ndarray:
        """Points (n, ..., 3) in the camera axes of frames (n,) -> world."""
        turned = np.einsum("nij,n...i->n...j", self.rotation[frames], points)
        return turned + self.position_m[frames].reshape(-1, *[1] * (points.ndim - 2), 3)


@dataclass(frozen=True)
class Track:
    """One person of a result, in F frames."""

    frames: np.ndarray  # (F,)
    joints3d_m: np.ndarray  # (F, 17, 3) camera axes about the mid-hip
    translation_m: np.ndarray  # (F, 3)
    joints2d_px: np.ndarray  # (F, 17, 2)

    @staticmethod
    def read(path: Path) -> "Track":
        """Raises InputError for a file without the arrays of a film's person."""
        try:
            with np.load(path) as arrays:
                names = arrays["joints"].tolist()
                joints = [names.index(name) for name in COCO17.joints]
                return Track(
                    arrays["frames"],
                    arrays["joints3d_m"][:, joints].astype(float),
                    arrays["translation_m"].astype(float),
                    arrays["joints2d_px"][:, joints, :2].astype(float),
                )
        except (OSError, KeyError, ValueError, IndexError) as error:
            raise InputError(
                f"{path}: frames, joints, joints3d_m, translation_m and joints2d_px of a film's person were "
                f"expected ({error}); write it with `mpt reconstruct FILM`"
            ) from None


def tracks(folder: Path) -> list[Track]:
    """Everybody of one film's result, by number. Raises InputError where there is no result."""
    if not folder.is_dir():
        raise InputError(f"{folder}: there is no result of this film; make it with `mpt reconstruct`")
    files = sorted(folder.glob("person*.npz"), key=lambda path: (len(path.name), path.name))
    return [Track.read(path) for path in files]


@dataclass
class Score:
    """Sums over person-frames, so that films can be added."""

    people: int = 0  # person-frames in the picture
    extra: int = 0  # person-frames of the result whom nobody is
    swaps: int = 0
    errors: dict[str, list[np.ndarray]] = field(default_factory=dict)

    def add(self, name: str, values: np.ndarray) -> None:
        self.errors.setdefault(name, []).append(np.ravel(values))

    def join(self, other: "Score") -> None:
        self.people, self.extra, self.swaps = (
            self.people + other.people, self.extra + other.extra, self.swaps + other.swaps,
        )  # fmt: skip
        for name, values in other.errors.items():
            self.errors.setdefault(name, []).extend(values)

    def told(self) -> dict[str, float | int | None]:
        """Percent, counts and means; None where nothing was measured."""
        pooled = {name: np.concatenate(values) for name, values in self.errors.items()}
        means = {name: float(values.mean()) if len(values) else None for name, values in pooled.items()}
        found = len(pooled.get("mpjpe_mm", ()))
        return {
            "people": self.people,
            "found_percent": 100 * found / max(self.people, 1),
            "extra": self.extra,
            "swaps": self.swaps,
        } | {name: means.get(name) for name in COLUMNS if name.endswith(("_mm", "_frame2", "_frame"))}


COLUMNS = {
    "people": "people",
    "found_percent": "found, %",
    "extra": "extra",
    "swaps": "swaps",
    "mpjpe_mm": "MPJPE",
    "pa_mpjpe_mm": "PA-MPJPE",
    "jitter_mm_frame2": "jitter",
    "jitter_placed_mm_frame2": "jitter, placed",
    "rest_mm_frame": "rest",
    "depth_mm": "depth",
}


def score(truth: Truth, found: list[Track]) -> Score:
    """One film's. People in the picture count; who is hardly in it is neither missed nor extra."""
    total = Score()
    who = np.full(truth.present.shape, -1)  # which track a true person is
    for frame in range(who.shape[1]):
        shown = [k for k, one in enumerate(found) if frame in one.frames]
        seen = [found[k].joints2d_px[found[k].frames == frame][0] for k in shown]
        matched = pairs(np.array(seen), truth.joints2d_px[:, frame])
        for number, person in matched:
            who[person, frame] = shown[number]
        total.extra += len(shown) - len(matched)
    for person, (present, ids) in enumerate(zip(truth.present, who)):
        ids = np.where(present, ids, -1)
        total.people += int(present.sum())
        known = ids[ids >= 0]
        total.swaps += int((np.diff(known) != 0).sum())
        for k in np.unique(known):
            _errors(total, truth, person, np.flatnonzero(ids == k), found[k])
    return total


def _errors(total: Score, truth: Truth, person: int, frames: np.ndarray, track: Track) -> None:
    """Those of one track in the frames in which it is a person."""
    row = {int(frame): at for at, frame in enumerate(track.frames)}
    index = [row[int(frame)] for frame in frames]
    true = truth.joints3d_m[person, frames]
    true_root = true[:, HIPS].mean(1, keepdims=True)
    joints = track.joints3d_m[index]
    placed = joints + track.translation_m[index][:, None]
    joints = joints - joints[:, HIPS].mean(1, keepdims=True)
    both = torch.from_numpy(joints), torch.from_numpy(true - true_root)
    total.add("mpjpe_mm", mpjpe(*both).numpy())
    total.add("pa_mpjpe_mm", pa_mpjpe(*both).numpy())
    total.add("depth_mm", 1000 * np.abs((placed[:, HIPS].mean(1) - true_root[:, 0])[:, 2]))

    following = np.flatnonzero(np.diff(frames) == 1)
    middle = following[np.isin(following + 1, following)]
    jitter = {"jitter_mm_frame2": joints - (true - true_root), "jitter_placed_mm_frame2": placed - true}
    per_frame2 = 1000 * (truth.fps / 30) ** 2
    for name, error in jitter.items():
        second = error[middle] - 2 * error[middle + 1] + error[middle + 2]
        total.add(name, per_frame2 * np.linalg.norm(second, axis=-1).mean(-1))

    steps = [
        1000 * (truth.fps / 30) * np.linalg.norm(at[following + 1] - at[following], axis=-1)
        for at in (truth.in_world(points[:, ANKLES], frames) for points in (placed, true))
    ]
    down = truth.down[person, frames]
    resting = down[following] & down[following + 1] & (steps[1] < REST_MM)
    total.add("rest_mm_frame", steps[0][resting])


def frames_of(film: Path) -> Iterator[np.ndarray]:
    """(H, W, 3) uint8 RGB, one after the other."""
    with av.open(str(film)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")


def alone(film: Path, folder: Path, reconstruct: mpt.Reconstructor) -> None:
    """Reconstruct every frame by itself, link people to the nearest of the frame before, and write them."""
    people: list[list[tuple[int, mpt.Reconstruction]]] = []
    before: dict[int, np.ndarray] = {}
    for frame, image in enumerate(frames_of(film)):
        now = reconstruct(image, pose=False)
        seen = np.array([one.joints2d_px[:BODY, :2] for one in now]).reshape(-1, BODY, 2)
        ids = list(before)
        known = {f: ids[t] for f, t in pairs(seen, np.array(list(before.values())).reshape(-1, BODY, 2))}
        before = {}
        for number, one in enumerate(now):
            if number not in known:
                known[number] = len(people)
                people.append([])
            people[known[number]].append((frame, one))
            before[known[number]] = seen[number]
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("person*.npz"):
        old.unlink()
    for k, person in enumerate(people):
        frames, found = zip(*person)
        np.savez_compressed(
            folder / f"person{k}.npz",
            frames=np.array(frames),
            joints=np.array(found[0].skeleton.joints),
            joints3d_m=np.stack([one.joints3d for one in found]),
            translation_m=np.stack([one.translation_m for one in found]),
            joints2d_px=np.stack([one.joints2d_px for one in found]),
        )


def main(
    films: Path,
    results: Path,
    baseline: bool = False,
    model: str = "mpt-small",
    json: Path | None = None,
) -> None:
    """Score results of films with exact truth.

    Args:
        films: folder of films and their truth, as make_films.py makes them.
        results: folder with a folder for each film.
        baseline: first reconstruct every frame alone, and write the results there.
        model: of the baseline; a name, a model file or a run folder.
        json: also write the figures to this file.
    """
    truths = sorted(films.glob("*.npz"))
    if not truths:
        raise InputError(f"{films}: there is no film with its truth (NAME.mp4, NAME.npz); make some")
    if baseline:
        reconstruct = mpt.load(model)
        for path in truths:
            alone(path.with_suffix(".mp4"), results / path.stem, reconstruct)
    total, each = Score(), {}
    for path in truths:
        one = score(Truth.read(path), tracks(results / path.stem))
        each[path.stem] = one.told()
        total.join(one)
    each["all"] = total.told()
    rows = [[name, *row.values()] for name, row in each.items()]
    table(f"{results}: {len(truths)} films", ["", *COLUMNS.values()], rows)
    write_json(json, each)


if __name__ == "__main__":
    tyro.cli(main)
