"""Places for made-up photographs: a floor and what stands behind it, all invented, in linear light.

World axes: y up, metres; the floor is y = 0, the camera looks along -z.
"""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from mpt.scenes.people import smooth


@dataclass(frozen=True)
class Lamp:
    """A wide lamp far away: towards it (unit vector), linear colour, angular radius in radians."""

    towards: np.ndarray
    colour: np.ndarray
    radius: float

    def directions(self, count: int) -> np.ndarray:
        """(count, 3) unit vectors spread over the lamp."""
        k = np.arange(count) + 0.5
        ring, turn = self.radius * np.sqrt(k / count), k * np.pi * (1 + 5**0.5)
        side = np.cross(self.towards, [0, 1, 0.01])
        side /= np.linalg.norm(side)
        up = np.cross(side, self.towards)
        spread = self.towards + np.outer(ring * np.cos(turn), side) + np.outer(ring * np.sin(turn), up)
        return (spread / np.linalg.norm(spread, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Backdrop:
    """A place: its lights, the albedo of its floor, and the light that comes from behind the floor."""

    key: Lamp
    sky: np.ndarray  # (3,) light from above
    ground: np.ndarray  # (3,) light from below
    wall_z: float
    floor: Callable[[np.ndarray, np.ndarray], np.ndarray]  # x, z (N,) -> albedo (N, 3)
    wall: Callable[[np.ndarray, np.ndarray], np.ndarray]  # x, y (N,) on the plane z = wall_z -> light (N, 3)
    blur: float  # of what is far, as a share of the picture's longer side


TREES_M = 26.0  # wide and high


def studio(rng: np.random.Generator) -> Backdrop:
    """Seamless paper under a big soft lamp."""
    tint = _linear(
        rng.choice([(0.78, 0.80, 0.82), (0.83, 0.77, 0.71), (0.62, 0.70, 0.74), (0.74, 0.75, 0.70)])
    )
    wall_z = -3.0
    clouds = _Texture(_noise(rng, 256, 2.2), 6.0)

    def floor(x, z):
        return tint * (0.92 + 0.03 * clouds(x, z))[:, None]

    def wall(x, y):
        glow = np.exp(-((x / 3.0) ** 2 + ((y - 1.3) / 2.0) ** 2))
        return tint * (0.55 + 0.50 * glow * smooth(y, -0.6, 1.2) + 0.03 * clouds(x, y))[:, None]

    lamp = Lamp(_unit((-0.55, 0.80, 0.75)), np.float32([1.05, 1.0, 0.94]), 0.30)
    return Backdrop(lamp, np.float32([0.46, 0.48, 0.52]), tint * 0.35, wall_z, floor, wall, 0.012)


def room(rng: np.random.Generator) -> Backdrop:
    """A room with a wooden floor, a skirting board, pictures on the wall, and a window beside the camera."""
    paint = _linear(
        rng.choice([(0.80, 0.78, 0.73), (0.66, 0.72, 0.72), (0.80, 0.71, 0.64), (0.62, 0.66, 0.74)])
    )
    wood = _linear(rng.choice([(0.62, 0.44, 0.29), (0.72, 0.56, 0.40), (0.46, 0.33, 0.24)]))
    wall_z = -float(rng.uniform(2.0, 3.2))
    clouds = _Texture(_noise(rng, 256, 2.0), 5.0)
    planks = _Texture(_planks(rng), 2.4)
    frames = [
        (x + rng.uniform(-0.2, 0.2), rng.uniform(1.35, 1.65), rng.uniform(0.28, 0.6), rng.uniform(0.28, 0.5))
        for x in np.arange(-4.2, 4.3, 1.7)
    ]
    inks = [_linear(rng.uniform(0.35, 0.75) + rng.uniform(-0.12, 0.12, 3)) for _ in frames]

    def floor(x, z):
        return wood * (1 + 0.55 * planks(x, z))[:, None]

    def wall(x, y):
        light = 0.62 + 0.32 * np.exp(-(((x + 1.8) / 2.2) ** 2 + ((y - 1.7) / 1.6) ** 2)) + 0.05 * clouds(x, y)
        colour = np.repeat(paint[None], len(x), 0)
        for (cx, cy, w, h), ink in zip(frames, inks):
            inner = (np.abs(x - cx) < w - 0.09) & (np.abs(y - cy) < h - 0.09)
            sheet = (np.abs(x - cx) < w - 0.03) & (np.abs(y - cy) < h - 0.03)
            frame = (np.abs(x - cx) < w) & (np.abs(y - cy) < h)
            colour[frame] = 0.05
            colour[sheet] = 0.75
            colour[inner] = ink * (1 + clouds(3 * x[inner], 3 * y[inner]))[:, None]
        colour[y < 0.11] = 0.72
        return colour * (light * (0.75 + 0.25 * smooth(y, 0.0, 0.6)))[:, None]

    lamp = Lamp(_unit((-0.75, 0.72, 0.62)), np.float32([1.15, 1.06, 0.94]), 0.24)
    return Backdrop(lamp, np.float32([0.42, 0.43, 0.45]), wood * 0.5, wall_z, floor, wall, 0.007)


def park(rng: np.random.Generator) -> Backdrop:
    """A paved path, grass and trees out of focus, under a hazy sun."""
    wall_z = -14.0
    grass = _Texture(_noise(rng, 512, 0.9), 3.0)
    patches = _Texture(_noise(rng, 256, 1.8), 9.0)
    stone = _Texture(_noise(rng, 512, 1.1), 2.0)
    trees = _Texture(_foliage(rng), TREES_M, wrap=False)
    green, pale = _linear((0.38, 0.45, 0.26)), _linear((0.68, 0.66, 0.62))
    verge = rng.uniform(-1.6, -1.1), rng.uniform(1.1, 1.6)

    def floor(x, z):
        lawn = green * (1 + 0.45 * grass(x, z) + 0.35 * patches(x, z))[:, None]
        slab = pale * (1 + 0.16 * stone(x, z))[:, None]
        seam = np.minimum(_to_line(x, 0.6), _to_line(z, 0.6)) < 0.008
        slab[seam] *= 0.62
        bend = 0.25 * np.sin(z / 3)
        on_path = smooth(x - bend, verge[0] - 0.03, verge[0] + 0.03) * smooth(
            verge[1] + 0.03 - x + bend, 0, 0.06
        )
        return lawn + on_path[:, None] * (slab - lawn)

    def wall(x, y):
        along = (x + TREES_M / 2) % (2 * TREES_M)  # mirrored at either end, again and again
        return trees(np.minimum(along, 2 * TREES_M - along) - TREES_M / 2, y - 5.5)

    side = rng.choice([-1, 1])
    lamp = Lamp(_unit((0.70 * side, 0.85, 0.45)), np.float32([1.75, 1.58, 1.32]), 0.10)
    return Backdrop(lamp, np.float32([0.50, 0.58, 0.70]), green * 0.5, wall_z, floor, wall, 0.010)


PLACES = {"studio": studio, "room": room, "park": park}


class _Texture:
    """A picture that lies on a plane and repeats every ``size_m`` metres (or is stretched at its border)."""

    def __init__(self, image: np.ndarray, size_m: float, wrap: bool = True):
        self.image, self.size_m, self.wrap = image.astype(np.float32), size_m, wrap

    def __call__(self, u: np.ndarray, v: np.ndarray) -> np.ndarray:
        """Values at plane coordinates u, v (N,), the plane's origin in the picture's middle, v upwards."""
        side = len(self.image)
        x, y = (u / self.size_m + 0.5) * side, (0.5 - v / self.size_m) * side
        if self.wrap:
            return lookup(self.image, x % side, y % side, cv2.BORDER_WRAP)
        return lookup(self.image, np.clip(x, 0, side - 1), np.clip(y, 0, side - 1), cv2.BORDER_REPLICATE)


def lookup(image: np.ndarray, x: np.ndarray, y: np.ndarray, border: int, outside: float = 0.0) -> np.ndarray:
    """Values (N,) or (N, C) of a float32 image at pixels (x, y), each (N,)."""
    wide = 32_000  # remap takes no longer rows
    rows = -(-max(len(x), 1) // wide)
    padded = [np.zeros(rows * wide, np.float32) for _ in "xy"]
    padded[0][: len(x)], padded[1][: len(y)] = x, y
    maps = [m.reshape(rows, wide) for m in padded]
    found = cv2.remap(image, *maps, cv2.INTER_LINEAR, borderMode=border, borderValue=outside)
    return found.reshape(rows * wide, *image.shape[2:])[: len(x)]


def _noise(rng: np.random.Generator, side: int, power: float) -> np.ndarray:
    """(side, side) tileable noise about 0, standard deviation 0.5; more power, larger clouds."""
    fx, fy = np.meshgrid(np.fft.rfftfreq(side), np.fft.fftfreq(side))
    radius = np.hypot(fx, fy)
    radius[0, 0] = np.inf
    phase = np.exp(2j * np.pi * rng.random(radius.shape))
    noise = np.fft.irfft2(phase * radius**-power, (side, side))
    return (0.5 * noise / noise.std()).astype(np.float32)


def _planks(rng: np.random.Generator, side: int = 768, boards: int = 16) -> np.ndarray:
    """Floor boards that run in depth: tones about 0, dark seams."""
    grain = cv2.resize(_noise(rng, side // 8, 1.0), (side, side))[:, :]
    fine = cv2.resize(_noise(rng, side, 0.8)[: side // 12], (side, side), interpolation=cv2.INTER_CUBIC)
    tone = np.empty((side, side), np.float32)
    width = side // boards
    for b in range(boards):
        cut = int(rng.integers(side))
        first, second = rng.normal(0, 0.16, 2)
        columns = slice(b * width, (b + 1) * width)
        tone[:, columns] = np.where(np.arange(side)[:, None] < cut, first, second)
        tone[cut - 1 : cut + 1, columns] = -0.7
        tone[:, b * width] = -0.6
    return tone + 0.10 * grain + 0.14 * fine


def _foliage(rng: np.random.Generator, side: int = 640) -> np.ndarray:
    """Trees before a bright sky, as a lens out of focus sees them: (side, side, 3) linear, TREES_M square."""
    rows = np.linspace(1, 0, side, dtype=np.float32)[:, None, None]  # 1 at the top
    sky = np.float32([0.62, 0.78, 1.0]) * (0.95 + 0.35 * rows)
    picture = np.repeat(sky, side, 1)
    ground = round(side * (0.5 + 5.5 / TREES_M))
    air = np.float32([0.50, 0.58, 0.60])
    for depth, haze in enumerate((0.6, 0.35, 0.1)):  # far trees first
        for x in rng.uniform(0, side, 9):
            tall, wide = rng.uniform(0.16, 0.34) * side * (1.1 - 0.25 * depth), rng.uniform(0.04, 0.07) * side
            tone = _linear(
                np.float32([rng.uniform(0.60, 0.85), 1, rng.uniform(0.42, 0.60)]) * rng.uniform(0.38, 0.50)
            )
            bark = _linear((0.25, 0.20, 0.16)) * (1 - haze) + air * haze
            trunk = round(x), round(ground - 0.6 * tall)
            cv2.line(picture, (round(x), ground), trunk, bark.tolist(), round(0.010 * side))
            for _ in range(60):  # leaves in tufts, lit from above
                dx, dy = rng.normal(0, (wide, 0.28 * tall))
                lit = np.clip(1.0 + 0.5 * dy / tall + rng.normal(0, 0.15), 0.5, 1.6)
                tuft = tone * lit * (1 - haze) + air * haze
                centre = round(x + dx), round(ground - 0.62 * tall - dy)
                cv2.circle(
                    picture, centre, round(rng.uniform(0.008, 0.022) * side), tuft.tolist(), -1, cv2.LINE_AA
                )
    leaves = _noise(rng, side, 1.2)[..., None]
    picture *= 1 + 0.35 * leaves
    hedge = smooth(np.arange(side, dtype=np.float32), ground - 0.05 * side, ground - 0.02 * side)[
        :, None, None
    ]
    picture += hedge * (_linear((0.24, 0.34, 0.16)) * (1 + 0.5 * leaves) - picture)
    picture = cv2.GaussianBlur(picture, (0, 0), 0.006 * side)
    for _ in range(90):  # gaps between leaves become discs of light
        centre = round(rng.uniform(0, side)), round(ground - rng.uniform(0.02, 0.3) * side)
        disc = np.zeros_like(picture)
        cv2.circle(disc, centre, round(rng.uniform(0.006, 0.013) * side), (1.0, 1.0, 0.8), -1, cv2.LINE_AA)
        picture += disc * float(rng.uniform(0.05, 0.35))
    return np.clip(picture, 0, 3)


def _to_line(value: np.ndarray, step: float) -> np.ndarray:
    """Distance to the nearest multiple of step."""
    return np.abs((value + step / 2) % step - step / 2)


def _linear(colour) -> np.ndarray:
    return np.float32(colour) ** np.float32(2.2)


def _unit(vector) -> np.ndarray:
    return (np.asarray(vector) / np.linalg.norm(vector)).astype(np.float32)
