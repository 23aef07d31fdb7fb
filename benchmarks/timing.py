"""Interleaved rounds: what every benchmark here uses to time things against each other."""

import time
from collections.abc import Callable
from statistics import median


def interleaved(jobs: dict[str, Callable[[], object]], rounds: int = 9) -> dict[str, float]:
    """Median seconds of each job, the jobs taking turns; one round to warm up. CPU time of this process."""
    seconds: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            start = time.process_time()
            job()
            seconds[name].append(time.process_time() - start)
    return {name: median(times[1:]) for name, times in seconds.items()}
