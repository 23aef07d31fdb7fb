"""The page in a process of its own."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).parent


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def serving(model: str | Path, temporary: Path, **limits: float) -> Iterator[tuple[str, subprocess.Popen]]:
    """A page's address, and its process, whose temporary folder that is."""
    temporary.mkdir()
    paths = [str(HERE), str(HERE.parent), str(HERE.parents[1] / "src"), os.environ.get("PYTHONPATH", "")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths)), "TMPDIR": str(temporary)}
    command = [sys.executable, "-W", "ignore", str(HERE / "visitors.py"), str(model), str(free_port())]
    command.append(json.dumps(limits))
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        assert line.startswith("Open http"), line
        yield line.split()[1], process
    finally:
        process.kill()
        process.wait()
