"""Who is who from frame to frame: through crossings, and through short absences.

BlazePose is asked to look where everybody was in the frame before, and its detector now and then whether
somebody has come; whom it finds late is followed backwards through the last few frames. Of any other 2D
network everybody is found anew in each frame. Either way people are told apart by where they should be by
now, and by the colours of their clothes.

Letters: F frames, K joints by which people are told apart (COCO's 17, or a hand's 21).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import cv2
import numpy as np
from scipy.optimize import linear_sum_assignment

from mpt.crops import Crop
from mpt.films.frames import Frame
from mpt.pose2d.base import Person2D, Pose2D
from mpt.pose2d.blazepose import MIN_LIKENESS, MIN_PRESENCE, MIN_SCORE, BlazePose
from mpt.pose2d.figures import Figure
from mpt.skeletons import COCO17, Skeleton, core

SEARCH_S, THOROUGH_S = 0.3, 1.0  # how often somebody new is looked for in the whole picture, and in its parts
AWAY_SEARCH_S = 0.1  # the same while somebody is missing who was there just now
MISSED_S = 1.0  # who has been away for longer is no longer looked for
MEMORY_S = 5.0  # ... and then forgotten
BUFFERED = 64e6  # bytes of frames through which those who are found late are followed backwards
MIN_LIKENESS_ON = 0.4  # of somebody who was there just now
SHOWN = 0.2  # least score of a joint that tells where somebody is
JUMP = 0.35  # of their size, which nobody moves within a frame beyond what they were moving
FAR, FAR_A_SECOND = (
    0.35,
    0.9,
)  # of their size, within which somebody is found again: at once, and a second later
FARTHEST = 2.5
SIZES = 1.8  # by how much somebody may have become larger or smaller
ALIKE = 24.0  # difference of colours (CIE 1976) that is worth as much as the whole distance
UNLIKE = 32.0  # from which they are somebody else's, who was away
SWAPPED = 6.0  # by which colours must fit better for two who crossed to be exchanged


class Sighting(NamedTuple):
    """One person in one frame."""

    id: int
    frame: int
    time_s: float
    person: Person2D


@dataclass(frozen=True, eq=False)
class _Seen:
    """Somebody in one frame: joints (K, 3), colours of clothes, and what the 2D network gave."""

    points: np.ndarray
    colours: np.ndarray
    source: Any

    @property
    def box(self) -> tuple[np.ndarray, np.ndarray]:
        shown = self.points[self.points[:, 2] >= SHOWN, :2]
        shown = shown if len(shown) > 2 else self.points[:, :2]
        return shown.min(0), shown.max(0)

    @property
    def size(self) -> float:
        low, high = self.box
        return max(float((high - low).max()), 1.0)

    def overlap(self, other: "_Seen") -> float:
        """Of the boxes, as a share of the smaller one."""
        (low, high), (l2, h2) = self.box, other.box
        common = np.clip(np.minimum(high, h2) - np.maximum(low, l2), 0, None).prod()
        return float(common / max(min((high - low).prod(), (h2 - l2).prod()), 1.0))

    def same_as(self, other: "_Seen") -> bool:
        apart = np.linalg.norm(self.points[:, :2] - other.points[:, :2], axis=1)
        return bool(np.median(apart) < 0.15 * max(self.size, other.size))


@dataclass(eq=False)
class _Trace:
    """Somebody over time."""

    id: int
    seen: _Seen
    frame: int
    time_s: float
    colours: np.ndarray  # as they were while nobody was near
    velocity: np.ndarray = field(default_factory=lambda: np.zeros(2))  # pixels a frame
    beside: set[int] = field(default_factory=set)  # ids of those with whom they have been one heap

    def shift(self, frame: int, fps: float) -> np.ndarray:
        """(2,) pixels that they should have moved on by a frame; nobody is trusted to go on for long."""
        ahead = frame - self.frame
        return self.velocity * min(ahead, 0.4 * fps)

    def see(self, seen: _Seen, frame: Frame, alone: bool) -> None:
        steps = frame.number - self.frame
        if steps:
            moved = _middle(seen, self.seen) / steps
            self.velocity = moved if steps > 3 else 0.6 * self.velocity + 0.4 * moved
        if alone:
            known = ~np.isnan(seen.colours).any(1, keepdims=True)
            fresh = np.isnan(self.colours).any(1, keepdims=True)
            rate = np.where(fresh, 1.0, 0.05)
            mixed = np.where(fresh, 0, self.colours) * (1 - rate) + seen.colours * rate
            self.colours = np.where(known, mixed, self.colours)
        self.seen, self.frame, self.time_s = seen, frame.number, frame.time_s


class Tracker:
    """Frames, one after another -> who is seen in them."""

    def __init__(self, pose2d: Pose2D, fps: float, heatmap_size: int) -> None:
        self.pose2d, self.fps, self.heatmap_size = pose2d, fps, heatmap_size
        self.traces: list[_Trace] = []
        self._count = 0
        self._searched = self._thorough = -1_000_000
        self._before: deque[tuple[Frame, dict[int, _Seen]]] = deque()

    def __call__(self, frame: Frame) -> Iterator[Sighting]:
        """Whom a frame shows, and who were found late: in earlier frames, too."""
        if frame.pixels is None:
            return
        self._forget(frame)
        here = self._follow(frame) if isinstance(self.pose2d, BlazePose) else self._find_all(frame)
        self._untangle(here)
        for id_, seen in here.items():
            yield self._sighting(id_, frame, seen)
        if isinstance(self.pose2d, BlazePose):
            yield from self._backwards(frame, here)

    # -------------------------------------------------------------------------- found anew in each frame

    def _find_all(self, frame: Frame) -> dict[int, _Seen]:
        people = self.pose2d(frame.shown)
        found = [self._seen(frame, person, _core_points(person)) for person in people]
        return self._assign(frame, found, self.traces)

    # ---------------------------------------------------------------- followed, and looked for now and then

    def _follow(self, frame: Frame) -> dict[int, _Seen]:
        blazepose, here = self.pose2d, {}
        assert isinstance(blazepose, BlazePose)
        for trace in self.traces:
            if frame.number - trace.frame <= 2:
                shift = trace.shift(frame.number, self.fps)
                figure = blazepose.follow(frame.shown, trace.seen.source, shift)
                if self._goes_on(trace, figure, frame):
                    here[trace.id] = self._seen(frame, figure, figure.body_px)
        self._one_each(here)
        by_id = {trace.id: trace for trace in self.traces}
        for id_, seen in here.items():
            by_id[id_].see(seen, frame, not self._is_beside(seen, here))
        if self._is_due(frame):
            known = [seen.source for seen in here.values()]
            kept = blazepose.find(
                frame.shown, known, near=self._squares(frame), thorough=self._thorough == frame.number
            )
            for id_ in [i for i, seen in here.items() if not any(seen.source is figure for figure in kept)]:
                del here[id_]  # a phantom
            new = [figure for figure in kept if not any(figure is other for other in known)]
            found = [self._seen(frame, figure, figure.body_px) for figure in new]
            away = [trace for trace in self.traces if trace.id not in here]
            here |= self._assign(frame, found, away, here)
        return here

    def _goes_on(self, trace: _Trace, figure: Figure, frame: Frame) -> bool:
        """What was looked at is somebody, and may be this one."""
        if figure.presence < MIN_PRESENCE or figure.likeness < MIN_LIKENESS_ON:
            return False
        seen = _Seen(figure.body_px, trace.colours, figure)
        steps = frame.number - trace.frame
        off = _middle(seen, trace.seen) - trace.velocity * steps
        ratio = seen.size / trace.seen.size
        return bool(np.linalg.norm(off) < JUMP * trace.seen.size * steps and 1 / SIZES < ratio < SIZES)

    def _one_each(self, here: dict[int, _Seen]) -> None:
        """Where two have come to be the same figure, it stays with the one whom it fits."""
        by_id = {trace.id: trace for trace in self.traces}
        while True:
            pair = next(((a, b) for a in here for b in here if a < b and here[a].same_as(here[b])), None)
            if pair is None:
                return
            fits = [self._cost(by_id[i], here[i], by_id[i].frame + 1, at_once=True) for i in pair]
            loser = pair[int(fits[0] < fits[1])]
            winner = pair[0] if loser == pair[1] else pair[1]
            by_id[loser].beside.add(winner)
            by_id[winner].beside.add(loser)
            del here[loser]

    def _is_due(self, frame: Frame) -> bool:
        """Whether somebody is looked for now; notes when, and whether in all parts of the picture."""
        since = (frame.number - self._searched) / self.fps
        missed = any(1 <= frame.number - t.frame <= MISSED_S * self.fps for t in self.traces)
        just = any(frame.number - t.frame == 1 for t in self.traces)
        if not (since >= SEARCH_S or just or (missed and since >= AWAY_SEARCH_S)):
            return False
        self._searched = frame.number
        if (frame.number - self._thorough) / self.fps >= THOROUGH_S:
            self._thorough = frame.number
        return True

    def _squares(self, frame: Frame) -> list[Crop]:
        """Where those should be who were there just now."""
        squares = []
        for trace in self.traces:
            if 1 <= frame.number - trace.frame <= MISSED_S * self.fps:
                low, high = trace.seen.box
                x, y = (low + high) / 2 + trace.shift(frame.number, self.fps)
                squares.append(Crop((float(x), float(y)), 2 * trace.seen.size))
        return squares[:4]

    def _backwards(self, frame: Frame, here: dict[int, _Seen]) -> Iterator[Sighting]:
        """Those who have just been found, in the frames before in which they were not looked for."""
        blazepose, traces = self.pose2d, {trace.id: trace for trace in self.traces}
        assert isinstance(blazepose, BlazePose)
        latest = self._before[-1][1] if self._before else {}
        for id_, seen in here.items():
            if id_ in latest or not self._before:
                continue
            last, velocity, now = seen, np.zeros(2), frame.number
            for earlier, people in reversed(self._before):
                if id_ in people:
                    break
                figure = blazepose.follow(earlier.shown, last.source, velocity)
                new = self._seen(earlier, figure, figure.body_px)
                moved = _middle(new, last)
                if (
                    (figure.score < MIN_SCORE and figure.likeness < MIN_LIKENESS)
                    or figure.presence < MIN_PRESENCE
                    or np.linalg.norm(moved - velocity) > JUMP * last.size
                    or not 1 / SIZES < new.size / last.size < SIZES
                    or any(new.same_as(other) for other in people.values())
                    or _colours_apart(new.colours, traces[id_].colours) > UNLIKE
                ):
                    break
                people[id_] = new
                yield self._sighting(id_, earlier, new)
                last, velocity, now = (
                    new,
                    0.5 * (velocity + moved / max(now - earlier.number, 1)),
                    earlier.number,
                )
        self._before.append((frame, here))
        most = min(BUFFERED / frame.shown.nbytes, SEARCH_S * self.fps)
        while len(self._before) > max(most, 1):
            self._before.popleft()

    # ------------------------------------------------------------------------------------- who is who

    def _assign(
        self,
        frame: Frame,
        found: Sequence[_Seen],
        traces: Sequence[_Trace],
        others: dict[int, _Seen] | None = None,
    ) -> dict[int, _Seen]:
        """Each who was found by the id of the one who they are, or a new one."""
        costs = np.array([[self._cost(t, seen, frame.number) for seen in found] for t in traces])
        here, everybody = {}, [*(others or {}).values(), *found]
        taken = set()
        if costs.size:
            rows, columns = linear_sum_assignment(np.minimum(costs, 1e3))
            for row, column in zip(rows, columns):
                if costs[row, column] < np.inf:
                    seen = found[column]
                    alone = not any(o is not seen and seen.overlap(o) > 0.1 for o in everybody)
                    traces[row].see(seen, frame, alone)
                    here[traces[row].id] = seen
                    taken.add(column)
        for column, seen in enumerate(found):
            if column not in taken:
                self.traces.append(_Trace(self._count, seen, frame.number, frame.time_s, seen.colours))
                here[self._count] = seen
                self._count += 1
        return here

    def _cost(self, trace: _Trace, seen: _Seen, frame: int, at_once: bool = False) -> float:
        """How badly somebody fits a trace: below 2, or infinite where it cannot be."""
        away_s = max(frame - trace.frame, 0) / self.fps
        shift = trace.shift(frame, self.fps)
        size = max(trace.seen.size, seen.size)
        if at_once:
            off = trace.seen.points[:, :2] + shift - seen.points[:, :2]
            near = float(np.median(np.linalg.norm(off, axis=1))) / size / FAR
        else:
            reach = min(FAR + FAR_A_SECOND * away_s, FARTHEST)
            near = float(np.linalg.norm(_middle(seen, trace.seen) - shift)) / size / reach
            ratio = seen.size / trace.seen.size
            if near > 1 or not 1 / SIZES < ratio < SIZES:
                return np.inf
        apart = _colours_apart(trace.colours, seen.colours)
        if not at_once and apart > UNLIKE and away_s > 2.5 / self.fps:
            return np.inf
        return near + apart / ALIKE

    def _is_beside(self, seen: _Seen, here: dict[int, _Seen]) -> bool:
        return any(other is not seen and seen.overlap(other) > 0.1 for other in here.values())

    def _untangle(self, here: dict[int, _Seen]) -> None:
        """Notes who is one heap with whom; two who come apart again are exchanged if their clothes say so."""
        by_id = {trace.id: trace for trace in self.traces}
        ids = sorted(here)
        for a in ids:
            for b in ids:
                if a < b:
                    overlap = here[a].overlap(here[b])
                    if overlap > 0.3:
                        by_id[a].beside.add(b)
                        by_id[b].beside.add(a)
                    elif overlap < 0.05 and b in by_id[a].beside:
                        by_id[a].beside.discard(b)
                        by_id[b].beside.discard(a)
                        self._exchange_if_swapped(by_id[a], by_id[b], here)

    def _exchange_if_swapped(self, a: _Trace, b: _Trace, here: dict[int, _Seen]) -> None:
        straight = _colours_apart(a.colours, here[a.id].colours) + _colours_apart(
            b.colours, here[b.id].colours
        )
        crossed = _colours_apart(a.colours, here[b.id].colours) + _colours_apart(
            b.colours, here[a.id].colours
        )
        if straight - crossed > 2 * SWAPPED:
            here[a.id], here[b.id] = here[b.id], here[a.id]
            a.seen, b.seen, a.velocity, b.velocity = b.seen, a.seen, b.velocity, a.velocity

    def _forget(self, frame: Frame) -> None:
        self.traces = [t for t in self.traces if frame.time_s - t.time_s <= MEMORY_S]

    def _seen(self, frame: Frame, source: Any, points: np.ndarray) -> _Seen:
        return _Seen(points, clothes(frame.shown, points), source)

    def _sighting(self, id_: int, frame: Frame, seen: _Seen) -> Sighting:
        source = seen.source
        person = source if isinstance(source, Person2D) else source.person(self.heatmap_size)
        return Sighting(id_, frame.number, frame.time_s, person)


def _core_points(person: Person2D) -> np.ndarray:
    return person.joints2d_px[: len(core(person.skeleton))]


def _middle(seen: _Seen, before: _Seen) -> np.ndarray:
    """(2,) pixels by which somebody has moved: the median of the joints that both frames show."""
    both = np.minimum(seen.points[:, 2], before.points[:, 2]) >= SHOWN
    both = both if both.sum() > 3 else np.ones_like(both)
    return np.median(seen.points[both, :2] - before.points[both, :2], axis=0)


# ------------------------------------------------------------------------------------------------ clothes

# Pairs of joints, and how far along from one to the other colours are looked up.
_PARTS = (
    (("left_shoulder", "right_hip"), ("right_shoulder", "left_hip")),
    (("left_hip", "left_knee"), ("right_hip", "right_knee")),
    (("left_knee", "left_ankle"), ("right_knee", "right_ankle")),
)
_ALONG = np.linspace(0.25, 0.75, 6)


def clothes(pixels: np.ndarray, points: np.ndarray, skeleton: Skeleton = COCO17) -> np.ndarray:
    """(3, 3) mean colours (CIE Lab) of trunk, thighs and shins of joints (17, 3); NaN of what is not seen,
    and of all that is no person's.
    """
    colours = np.full((len(_PARTS), 3), np.nan)
    if len(points) != len(skeleton):
        return colours
    height, width = pixels.shape[:2]
    for part, lines in enumerate(_PARTS):
        where = []
        for line in lines:
            a, b = points[skeleton.indices(*line)]
            if min(a[2], b[2]) >= SHOWN:
                where.append(a[:2] + _ALONG[:, None] * (b[:2] - a[:2]))
        if where:
            x, y = np.rint(np.concatenate(where)).astype(int).T
            inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            if inside.any():
                picked = pixels[y[inside], x[inside]].astype(np.float32)[None] / 255
                colours[part] = np.median(cv2.cvtColor(picked, cv2.COLOR_RGB2LAB)[0], axis=0)
    return colours


def _colours_apart(one: np.ndarray, other: np.ndarray) -> float:
    """Mean difference of the parts that both show; lightness counts half, for it changes with the light."""
    apart = np.linalg.norm((one - other) * [0.5, 1, 1], axis=1)
    return float(np.nanmean(apart)) if not np.isnan(apart).all() else ALIKE / 2
