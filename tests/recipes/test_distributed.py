"""Two processes on a CPU are one process with as many micro-batches, up to rounding, in every way of sharing.

This file is also what the processes run: `torchrun --nproc-per-node 2 test_distributed.py TASK FOLDER`.
"""

import functools
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import PartialState
from safetensors.torch import load as load_tensors
from test_finetune import TINY as PHOTOS
from test_finetune import Numbers, given_body, given_pictures  # noqa: F401 - fixtures
from test_pretrain import PAIRS, QUERYING, TINY, write_store

from mpt import bodies, checkpoint, cli
from mpt.datasets.mixture import Mixture
from mpt.datasets.store import PoseStore
from mpt.errors import InputError
from mpt.metrics import ErrorSums
from mpt.modeling.mesh_transformer import MeshTransformer
from mpt.recipes import configs, parallel
from mpt.recipes.draws import Poses
from mpt.recipes.evaluate import evaluate_poses
from mpt.recipes.finetune import FinetuneConfig, finetune
from mpt.recipes.loop import LoopConfig, Run
from mpt.recipes.photos import step_order
from mpt.recipes.pretrain import pretrain

EASY = {"batch_size": 2, "accumulate": 4, "samples": 8 * 5, "validate_every": 5}
ALONE = {
    "poses": replace(
        TINY,
        model=replace(TINY.model, dropout=0.0),
        optim=replace(TINY.optim, average=0.9),
        validation_samples=5,
        **EASY,
    ),
    "masked queries, dropout": replace(QUERYING, model=replace(QUERYING.model, dropout=0.1), **EASY),
    "no masked query": replace(QUERYING, mask_queries=0.0, **EASY),
    "every pair once": replace(PAIRS, model=replace(PAIRS.model, dropout=0.1), **EASY | {"epochs": 0.25}),
    # Few steps: normalised over small batches, rounding grows tenfold in each, on one process as well.
    "photos": replace(PHOTOS, validation_samples=1, **EASY | {"batch_size": 4, "samples": 16 * 2}),
}
"""What one process does in four micro-batches a step, and two processes in two each."""
POSES = ALONE["poses"]
TORCH_S_OWN = [(name, way) for way in ("ddp", "fsdp2") for name in ALONE]
DEEPSPEED = [(name, way) for way in ("zero1", "zero2") for name in ("poses", "photos")]
needs_deepspeed = pytest.mark.skipif(
    importlib.util.find_spec("deepspeed") is None, reason="DeepSpeed, an extra, is not installed"
)


def begin(config, folder: Path, name: str, **how) -> Path:
    """A run on what the tests made in ``folder``."""
    if isinstance(config, FinetuneConfig):
        how["workers"] = 0
        return finetune(config, {"rendered": folder / "pictures"}, folder / name, device="cpu", **how)
    return pretrain(config, folder / "poses.store", folder / name, device="cpu", **how)


def metrics(run: Path) -> list[dict]:
    entries = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in entry.items() if name != "samples_per_s"} for entry in entries]


def state(run: Path) -> dict[str, torch.Tensor]:
    return load_tensors((run / "state.safetensors").read_bytes())


def at_draw(number: int, happens):
    """Have something happen when a process draws samples for the so-manieth time; what takes it back."""
    original, draws = Poses.taken, []

    def taken(self, *drawn):
        draws.append(drawn)
        if len(draws) == number:
            happens()
        return original(self, *drawn)

    Poses.taken = taken
    return lambda: setattr(Poses, "taken", original)


def break_off():
    raise KeyboardInterrupt


# ------------------------------------------------------------------------------- what two processes are told


def run_all(folder: Path, cases: list[tuple[str, str]], onward: str, interrupted: str) -> None:
    """Each case; then go on with the run that one process began; then be interrupted."""
    for name, way in cases:
        begin(replace(ALONE[name], accumulate=2, parallel=way), folder, f"{name}, {way}")
    begin(replace(POSES, parallel=onward), folder, f"begun alone, {onward}", resume=True)
    put_back = lambda: None  # noqa: E731
    if PartialState().process_index == 1:
        put_back = at_draw(5, lambda: os.kill(os.getpid(), signal.SIGINT))  # in step 3
    with pytest.raises(KeyboardInterrupt):
        begin(replace(POSES, accumulate=2, parallel=interrupted), folder, f"interrupted, {interrupted}")
    put_back()


def measure(folder: Path) -> None:
    """Errors of 7 poses in batches of 3: one process has 4 of them, the other 3."""
    rank = PartialState().process_index
    errors = seven_poses(folder, rank=rank, ranks=2).over_ranks()
    own = ErrorSums()
    own.add(**({"seen": torch.ones(3)} if rank else {"seen": torch.zeros(1), "rare": torch.tensor([5.0])}))
    total = own.over_ranks()
    told = {"errors": [errors.means(), errors.counts], "sums": [total.means(), total.counts]}
    (folder / f"errors-{rank}.json").write_text(json.dumps(told))


def seven_poses(folder: Path, **share) -> ErrorSums:
    anny, store = bodies.load(), PoseStore(folder / "poses.store")
    torch.manual_seed(0)
    model = MeshTransformer.for_body(anny, TINY.model)
    poses = store.rotvec(store.validation)[:7]
    return evaluate_poses(model, anny, store.bones, poses, noise=TINY.data.noise, batch_size=3, **share)


def die(folder: Path) -> None:
    """One process is killed in a step."""
    configs.LoopConfig = functools.partial(LoopConfig, save_every_s=0)
    if os.environ["RANK"] == "1":
        at_draw(6, lambda: os.kill(os.getpid(), signal.SIGKILL))
    begin(replace(POSES, accumulate=2), folder, "killed")


def torch_s_own(folder: Path) -> None:
    run_all(folder, TORCH_S_OWN, onward="fsdp2", interrupted="fsdp2")
    measure(folder)


def deepspeed(folder: Path) -> None:
    run_all(folder, DEEPSPEED, onward="zero2", interrupted="zero1")


if __name__ == "__main__":
    torch.set_num_threads(1)
    {"torch": torch_s_own, "deepspeed": deepspeed, "die": die}[sys.argv[1]](Path(sys.argv[2]))
    sys.exit()


# ---------------------------------------------------------------------------------------------- the tests


def torchrun(*command) -> subprocess.Popen:
    """Start it on two processes, with this one's modules."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.Popen(
        [*launcher, *map(str, command)],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


def two_processes(task: str, folder: Path) -> int:
    running = torchrun(__file__, task, folder)
    try:
        said = running.communicate(timeout=600)[1]  # DeepSpeed's first start compiles
    finally:
        running.terminate()  # where it hangs: torchrun ends its processes
    if running.returncode:
        print(said[-6000:])
    return running.returncode


@pytest.fixture(scope="module")
def folder(body, pictures, tmp_path_factory):
    """Poses, pictures, the runs of one process, and one that it broke off after two steps."""
    folder = tmp_path_factory.mktemp("distributed")
    write_store(folder / "poses.store", body)
    (folder / "pictures").symlink_to(pictures)
    for name, config in ALONE.items():
        begin(config, folder, name)
    put_back = at_draw(4 * 2 + 2, break_off)
    with pytest.raises(KeyboardInterrupt):
        begin(POSES, folder, "begun alone")
    put_back()
    for way in ("fsdp2", "zero2"):
        shutil.copytree(folder / "begun alone", folder / f"begun alone, {way}")
    return folder


@pytest.fixture(scope="module")
def shared(folder):
    assert two_processes("torch", folder) == 0
    return folder


@pytest.fixture(scope="module")
def by_deepspeed(folder):
    assert two_processes("deepspeed", folder) == 0
    return folder


def assert_same_run(run: Path, alone: Path) -> None:
    """Metrics to 1e-5 of their size, weights to 1e-5, Adam's moments to a thousandth of their largest."""
    entries, expected = metrics(run), metrics(alone)
    assert [list(entry) for entry in entries] == [list(entry) for entry in expected]
    for entry, other in zip(entries, expected):
        assert entry == pytest.approx(other, rel=1e-5)
    found, whole = state(run), state(alone)
    assert found.keys() == whole.keys()
    for name, tensor in found.items():
        other = whole[name]
        if name.endswith("qkv.bias") and tensor.ndim:  # of keys it changes no output: Adam follows rounding
            tensor, other = (t.unflatten(0, (3, -1))[[0, 2]] for t in (tensor, other))
        weights = name.startswith(("model.", "optimizer.average."))
        scale = 1e-5 if weights else 1e-3 * float(other.abs().amax())
        torch.testing.assert_close(
            tensor, other, rtol=1e-5, atol=scale, msg=lambda said, name=name: name + said
        )
    weights = checkpoint.load(run).transformer.state_dict()
    for name, tensor in checkpoint.load(alone).transformer.state_dict().items():
        torch.testing.assert_close(weights[name], tensor, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize(("name", "way"), TORCH_S_OWN)
def test_two_processes_are_one_with_as_many_micro_batches(name, way, shared):
    assert_same_run(shared / f"{name}, {way}", shared / name)
    config, entries = ALONE[name], metrics(shared / f"{name}, {way}")
    steps = config.samples // (config.batch_size * 4)
    assert [entry["step"] for entry in entries if "loss" in entry] == [*range(1, steps + 1)]
    assert entries[-1]["samples"] == config.samples


def test_two_go_on_with_what_one_began(shared):
    assert Run(shared / "begun alone").steps_taken == 2
    assert_same_run(shared / "begun alone, fsdp2", shared / "poses")


def test_two_are_interrupted_together_and_one_goes_on(shared):
    run = shared / "interrupted, fsdp2"
    assert Run(run).steps_taken == 3 and [entry["step"] for entry in metrics(run)] == [1, 2, 3]
    begin(POSES, shared, run.name, resume=True)
    assert_same_run(run, shared / "poses")


def test_errors_of_unequal_shares_are_those_of_one_process(shared):
    told = [json.loads((shared / f"errors-{rank}.json").read_text()) for rank in range(2)]
    assert told[0] == told[1]
    alone = seven_poses(shared)
    means, counts = told[0]["errors"]
    assert counts == alone.counts == {"mpjpe": 7, "pa_mpjpe": 7, "mpve": 7}
    assert means == pytest.approx(alone.means(), rel=1e-12)
    assert told[0]["sums"] == [{"seen": 0.75, "rare": 5.0}, {"seen": 4, "rare": 1}]


@needs_deepspeed
@pytest.mark.parametrize(("name", "way"), DEEPSPEED)
def test_zero_is_one_process_with_as_many_micro_batches(name, way, by_deepspeed):
    assert_same_run(by_deepspeed / f"{name}, {way}", by_deepspeed / name)


@needs_deepspeed
def test_zero_goes_on_with_what_one_began_and_one_with_what_zero_began(by_deepspeed):
    assert_same_run(by_deepspeed / "begun alone, zero2", by_deepspeed / "poses")
    run = by_deepspeed / "interrupted, zero1"
    assert Run(run).steps_taken == 3
    begin(POSES, by_deepspeed, run.name, resume=True)
    assert_same_run(run, by_deepspeed / "poses")


def test_a_process_killed_in_a_step_ends_the_run_and_leaves_a_state_that_resumes(folder):
    assert two_processes("die", folder) != 0
    run = folder / "killed"
    assert Run(run).steps_taken in (1, 2)  # the second may have been being saved
    begin(POSES, folder, run.name, resume=True)
    assert_same_run(run, folder / "poses")


def test_the_command_goes_on_by_two_processes_until_ctrl_c(folder):
    put_back = at_draw(3, break_off)
    with pytest.raises(KeyboardInterrupt):
        begin(replace(TINY, samples=10**6), folder, "long")
    put_back()
    run = folder / "long"
    command = ["pretrain", "--resume", run, "--store", folder / "poses.store", "--device", "cpu"]
    running = torchrun("-m", "mpt", *command, "--parallel", "fsdp2")
    try:
        until = time.monotonic() + 120
        while len(metrics(run)) < 6 and running.poll() is None and time.monotonic() < until:
            time.sleep(0.2)
        os.killpg(running.pid, signal.SIGINT)
        told, said = running.communicate(timeout=60)
    finally:
        running.terminate()
    taken = Run(run).steps_taken
    assert taken >= 4, said
    losses = [entry["step"] for entry in metrics(run) if "loss" in entry]
    assert losses == [*range(1, taken + 1)]
    assert said.count("stopped at step") == 1 and f"{10**6 // 8:,} steps of 4 x 2" in said.replace("\n", "")
    assert told == ""


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_a_micro_batch_has_its_photos_whoever_takes_it(processes):
    mixture = Mixture([Numbers("a", 7), Numbers("b", 4)], seed=5)
    alone = list(step_order(mixture, 2, range(1, 5), accumulate=6))
    each = 6 // processes
    shares = [
        list(step_order(mixture, 2, range(1, 5), rank=r, processes=processes, accumulate=each))
        for r in range(processes)
    ]
    steps = range(0, 4 * each, each)
    assert [batch for at in steps for share in shares for batch in share[at : at + each]] == alone
    whole = step_order(mixture, 12, range(1, 5))
    assert [pair for batch in alone for pair in batch] == [pair for step in whole for pair in step]


def test_pre_training_needs_no_image_library():
    code = "import sys, mpt.recipes.pretrain; print(sys.modules.keys() & {'cv2', 'PIL', 'trimesh'})"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said == "set()\n"


# ------------------------------------------------------------------------------------------------- refusals


def test_a_run_s_samples_are_shared_out_evenly_or_not_at_all(folder):
    run = Run(folder / "poses")  # four micro-batches of 2
    shares = {n: run.shared_out(TINY, n) for n in (1, 2, 4, 8)}
    assert {n: (c.batch_size, c.accumulate) for n, c in shares.items()} == {
        1: (2, 4), 2: (2, 2), 4: (2, 1), 8: (1, 1)
    }  # fmt: skip
    with pytest.raises(InputError, match="takes 8 samples a step, which 3 processes cannot share evenly"):
        run.shared_out(TINY, 3)


def test_zero_without_deepspeed_is_refused(folder, monkeypatch):
    monkeypatch.setattr(parallel.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"zero2 needs DeepSpeed.*pip install 'mesh-pretraining\[deepspeed\]'"
    ):
        begin(replace(POSES, parallel="zero2"), folder, "refused")
    assert not (folder / "refused").exists()
    parallel.check_installed("fsdp2")


def test_the_command_refuses_micro_batches_that_cannot_be(folder, capsys):
    command = ["pretrain", "--store", str(folder / "poses.store")]
    assert cli.main([*command, "tiny", "--accumulate", "0"]) == 2
    assert "--accumulate is 0: give a number above 0" in capsys.readouterr().err
    assert cli.main([*command, "--resume", str(folder / "poses"), "--accumulate", "2"]) == 2
    assert "--accumulate was given beside --resume" in capsys.readouterr().err
