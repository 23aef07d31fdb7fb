"""Hostile visitors of ``mpt serve``, eight at once, on this computer alone.

python benchmarks/page.py --count 300

Starts the page with a temporary folder of its own, and gives it mutated pictures, other types, headers that
promise a hundred megapixels and more, uploads that break off, paths as names, what is no film, and now and
then a good photo of a size that no other has. Prints the answers by kind, the seconds, the memory before and
after; fails where the page dies, says anything of its folders, or gives somebody another's result.
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import cv2
import tyro
from hostile import Refused, Visit, ask, visits

from mpt.demo import scenes
from mpt.films.encoding import written
from mpt.skeletons import COCO17

AT_ONCE = 8
ROUNDS = 3  # after each, memory is looked at


def main(count: int = 300, model: str = "mpt-small", seed: int = 0) -> None:
    """Let so many visitors come."""
    pixels = cv2.resize(next(scenes(COCO17)).image, (360, 480), interpolation=cv2.INTER_AREA)
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        with written(place / "film.mp4", (pixels.shape[1], pixels.shape[0]), 10, even=True) as write:
            for number in range(8):
                write(pixels, number, number / 10)
        come = visits(count, pixels, (place / "film.mp4").read_bytes(), seed)
        with serving(model, place) as (address, process):
            warm = visits(8, pixels, (place / "film.mp4").read_bytes(), seed + 1)
            _let_in(address, warm, place)
            memory, answers, start = [resident_mb(process.pid)], Counter(), time.perf_counter()
            for part in range(ROUNDS):
                answers += _let_in(address, come[part::ROUNDS], place)
                memory.append(resident_mb(process.pid))
            seconds = time.perf_counter() - start
        left = [path.name for path in place.iterdir() if path.name.startswith("mpt-")]
    for (kind, answer), times in sorted(answers.items()):
        print(f"{kind:14} {answer:9} {times:4}")
    said = " -> ".join(f"{mb:.0f}" for mb in memory)
    print(f"{count} visits in {seconds:.0f} s; memory {said} MB")
    if left:
        sys.exit(f"the page has left {left} behind")


def _let_in(address: str, come: list[Visit], place: Path) -> Counter:
    def answer(visit: Visit) -> tuple[str, str]:
        try:
            told = ask(address, visit)
        except Refused as refused:
            said = str(refused)
            if str(place) in said or len(said) < 20:
                sys.exit(f"{visit.kind} {visit.name!r}: {said}")
            return visit.kind, "refused"
        if visit.kind == "good":
            check_own(told, visit)
        return visit.kind, "answered"

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return Counter(pool.map(answer, come))


def check_own(told: list, visit: Visit) -> None:
    """Exits where a good photo's answer is another visitor's."""
    [url] = [file["url"] for file in told[2] if file["path"].endswith("result.json")]
    with urlopen(url) as file:
        result = json.load(file)
    if (result["image"], result["width"], result["height"]) != (visit.name, *visit.size_wh):
        sys.exit(f"{visit.name} got the result of {result['image']}")


@contextmanager
def serving(model: str, place: Path) -> Iterator[tuple[str, subprocess.Popen]]:
    """The page's address, and its process; ended by SIGTERM."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mpt", "serve", "--model", model, "--port", str(port)]
    env = os.environ | {"TMPDIR": str(place)}
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        yield line.split()[1], process
        process.terminate()
        if process.wait(60):
            sys.exit(f"the page ended with {process.returncode}")
    finally:
        process.kill()


def resident_mb(pid: int) -> float:
    """Of a process, and of those that it started."""
    own = [
        int(line.split()[1]) / 1024
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS")
    ]
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return sum(own) + sum(resident_mb(int(child)) for child in children)


if __name__ == "__main__":
    tyro.cli(main)
