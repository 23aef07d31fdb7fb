"""When the frames of a motion are shown, in files that interpolate and in files that count."""

import numpy as np

BRIDGED_S = 0.5  # somebody who is away for longer keeps their last pose, and then is back at once
SAME = 0.1  # of a frame: what is nearer to a frame than this is that frame, for times are often rounded


def keys(times_s: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (K,), and the frame (K,) that each shows; between them may be interpolated.

    times_s: (F,) of the frames, ascending. In a gap longer than ``BRIDGED_S`` the frame before it is shown
    once more, a frame's time before the gap ends.
    """
    after = np.flatnonzero(np.diff(times_s) > BRIDGED_S) + 1
    again = times_s[after] - 1 / fps
    return np.insert(times_s, after, again), np.insert(np.arange(len(times_s)), after, after - 1)


def at_rate(times_s: np.ndarray, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What is shown every 1 / fps seconds from the first time to the last: of each of N moments the frames
    before and after it (N,), and how far between them it is (N,), in [0, 1).
    """
    when, frame = keys(times_s, fps)
    moments = when[0] + np.arange(round((when[-1] - when[0]) * fps) + 1) / fps
    key = np.interp(moments, when, np.arange(len(when)))
    nearest = key.round().astype(int)
    key = np.where(np.abs(moments - when[nearest]) * fps < SAME, nearest, key)
    low = key.astype(int)
    return frame[low], frame[np.minimum(low + 1, len(when) - 1)], key - low
