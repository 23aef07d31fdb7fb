"""The loop on a toy: schedule, metrics, and a run that breaks off anywhere goes on as if it had not."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load as load_tensors
from torch import nn

from mpt.errors import InputError
from mpt.recipes.loop import LoopConfig, OptimConfig, Run, batches, seed_micro_batch, train

CONFIG = LoopConfig(
    steps=12, batch_size=4, optim=OptimConfig(learning_rate=0.05), log_every=5, validate_every=6
)


@dataclass
class Toy:
    """A regression with dropout, and hooks to break it off."""

    folder: Path
    config: LoopConfig = CONFIG
    draws: int = 0
    stop_at_draw: int | None = None
    stop_in_validation: bool = False
    nan_at_draw: int | None = None
    validated: list[float] = field(default_factory=list)
    saved: list[dict[str, torch.Tensor]] = field(default_factory=list)

    def draw(self, generator: torch.Generator, step: int, number: int) -> torch.Tensor:
        self.draws += 1
        if self.draws == self.stop_at_draw:
            raise KeyboardInterrupt
        batch = torch.randn(4, 3, generator=generator)
        return batch * float("nan") if self.draws == self.nan_at_draw else batch

    def losses_of(self, model, batch, generator) -> dict[str, torch.Tensor]:
        return {"first": (model(batch) - 1).square().mean(), "second": 0.1 * model(batch).abs().mean()}

    def validate(self, model) -> dict[str, float]:
        if self.stop_in_validation:
            raise KeyboardInterrupt
        self.validated.append(float(model[0].weight.detach().sum()))
        return {"error": self.validated[-1]}

    def save_model(self, model) -> None:
        self.saved.append({name: weight.detach().clone() for name, weight in model.named_parameters()})

    def run(self, *, resume: bool = False, threads: int | None = None) -> nn.Module:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        run = Run(self.folder) if resume else Run.begin(self.folder, self.config)
        return train(
            run, self.config, model, self.draw, self.losses_of, self.validate, self.save_model,
            accelerator=Accelerator(cpu=True), resume=resume, threads=threads,
        )  # fmt: skip

    @property
    def state(self) -> bytes:
        return (self.folder / "state.safetensors").read_bytes()

    @property
    def metrics(self) -> list[dict]:
        return [json.loads(line) for line in (self.folder / "metrics.jsonl").read_text().splitlines()]

    @property
    def saved_step(self) -> int:
        header = json.loads(self.state[8 : 8 + int.from_bytes(self.state[:8], "little")])
        return json.loads(header["__metadata__"]["mpt"])["step"]


def test_the_learning_rate_rises_linearly_then_falls_to_nothing():
    optim, steps = OptimConfig(learning_rate=1.0, warmup=0.1), 100
    rates = [optim.at(step, steps) for step in range(steps)]
    assert rates[:10] == pytest.approx([0.1 * (i + 1) for i in range(10)])
    assert rates[10:] == pytest.approx([(100 - i) / 90 for i in range(10, 100)])
    assert max(rates) == 1.0 and rates[-1] == pytest.approx(1 / 90)


@pytest.mark.parametrize("steps", [1, 2, 3, 7])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 1.0])
def test_every_step_of_a_short_run_learns(steps, warmup):
    optim = OptimConfig(warmup=warmup)
    assert all(0 < optim.at(step, steps) <= optim.learning_rate for step in range(steps))


def test_steps_and_micro_batches_have_their_own_random_numbers():
    generator, seen = torch.Generator(), set()
    for seed in range(3):
        for step in range(20):
            for number in range(4):
                seed_micro_batch(seed, step, number, generator)
                seen.add((generator.initial_seed(), torch.initial_seed()))
    assert len(seen) == 3 * 20 * 4


def test_batches_cover_everything_once():
    assert [list(range(10))[part] for part in batches(10, 4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert list(batches(0, 4)) == []


def test_metrics_are_means_since_the_last_ones(tmp_path):
    toy = Toy(tmp_path)
    toy.run()
    losses = [entry for entry in toy.metrics if "loss" in entry]
    assert [entry["step"] for entry in losses] == [5, 10, 12]
    for entry in losses:
        assert entry["loss"] == pytest.approx(entry["first"] + entry["second"])
        assert entry["lr"] == CONFIG.optim.at(entry["step"] - 1, 12) and entry["samples_per_s"] > 0
    checks = [entry for entry in toy.metrics if "error" in entry]
    assert [(entry["step"], entry["samples"]) for entry in checks] == [(6, 24), (12, 48)]
    assert [entry["error"] for entry in checks] == toy.validated

    each = Toy(tmp_path / "each", replace(CONFIG, log_every=1))
    each.run()
    every = [entry["loss"] for entry in each.metrics if "loss" in entry]
    assert losses[0]["loss"] == pytest.approx(sum(every[:5]) / 5)
    assert losses[2]["loss"] == pytest.approx(sum(every[10:]) / 2)


def test_a_large_gradient_is_clipped_and_nought_never_clips(tmp_path):
    weights = []
    for name, clip in (("none", 0.0), ("huge", 1e9), ("tiny", 1e-9)):
        toy = Toy(tmp_path / name, replace(CONFIG, optim=OptimConfig(clip_norm=clip)))
        weights.append(toy.run()[0].weight.detach())
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


AVERAGED = replace(CONFIG, optim=replace(CONFIG.optim, average=0.8))


def test_the_average_of_the_weights_is_validated_and_saved_for_use(tmp_path):
    each = replace(CONFIG, validate_every=1, save_every_s=0)
    plain = Toy(tmp_path / "plain", each)
    plain.run()
    torch.manual_seed(0)
    average = dict(nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)).named_parameters())
    toy = Toy(tmp_path / "averaged", replace(each, optim=AVERAGED.optim))
    told = dict(toy.run().named_parameters())
    assert len(toy.saved) == 13 and len(toy.validated) == 12  # the last weights are saved once more
    for step, (weights, found) in enumerate(zip(plain.saved[:12], toy.saved)):
        decay = min(0.8, (1 + step) / (10 + step))
        average = {name: decay * average[name] + (1 - decay) * weight for name, weight in weights.items()}
        for name, expected in average.items():
            torch.testing.assert_close(found[name], expected)
        assert toy.validated[step] == float(found["0.weight"].sum())
    assert all(torch.equal(told[name], weight) for name, weight in toy.saved[-1].items())
    state = load_tensors(toy.state)
    assert torch.equal(state["optimizer.average.0.weight"], toy.saved[-1]["0.weight"])
    assert torch.equal(state["model.0.weight"], plain.saved[-1]["0.weight"])
    assert not any(".average." in name for name in load_tensors(plain.state))


def test_the_average_takes_the_long_view_only_when_it_has_seen_enough():
    optim = OptimConfig(average=0.999)
    assert [optim.decay(step) for step in (0, 8, 10**6)] == pytest.approx([0.1, 0.5, 0.999])
    assert OptimConfig().decay(5) == 0


@pytest.mark.parametrize("config", [CONFIG, AVERAGED], ids=["weights", "averaged"])
@pytest.mark.parametrize("stop", [1, 2, 6, 7, 12])
def test_a_run_broken_off_and_resumed_is_the_unbroken_one_bit_for_bit(tmp_path, stop, config):
    whole = Toy(tmp_path / "whole", config)
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        Toy(tmp_path / "broken", config, stop_at_draw=stop).run()
    broken = Toy(tmp_path / "broken", config)
    assert broken.saved_step == stop - 1
    broken.run(resume=True)
    assert broken.draws == 12 - (stop - 1)
    assert load_tensors(broken.state).keys() == load_tensors(whole.state).keys()
    assert broken.state == whole.state
    assert all(torch.equal(broken.saved[-1][name], weight) for name, weight in whole.saved[-1].items())
    checks = [[e for e in toy.metrics if "error" in e] for toy in (whole, broken)]
    assert checks[0] == checks[1]


def test_a_run_broken_off_in_validation_has_not_lost_its_step(tmp_path):
    whole = Toy(tmp_path / "whole")
    whole.run()
    with pytest.raises(KeyboardInterrupt):
        Toy(tmp_path / "broken", stop_in_validation=True).run()
    broken = Toy(tmp_path / "broken")
    assert broken.saved_step == 6
    broken.run(resume=True)
    assert broken.state == whole.state


def test_means_after_resuming_are_over_the_steps_since_then(tmp_path):
    each = Toy(tmp_path / "each", replace(CONFIG, log_every=1))
    each.run()
    every = {entry["step"]: entry["loss"] for entry in each.metrics if "loss" in entry}
    with pytest.raises(KeyboardInterrupt):
        Toy(tmp_path / "broken", stop_at_draw=8).run()
    broken = Toy(tmp_path / "broken")
    broken.run(resume=True)
    (tenth,) = (e["loss"] for e in broken.metrics if e["step"] == 10 and "loss" in e)
    assert tenth == pytest.approx((every[8] + every[9] + every[10]) / 3)


def test_resuming_forgets_metrics_of_steps_to_be_taken_again_and_a_cut_line(tmp_path):
    toy = Toy(tmp_path)
    toy.run()
    run = Run(tmp_path)
    with open(tmp_path / "metrics.jsonl", "a") as file:
        file.write('{"step": 1')
    run.forget_after(6)
    assert [entry["step"] for entry in toy.metrics] == [5, 6]


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    toy = Toy(tmp_path)
    toy.run()
    before, metrics = toy.state, toy.metrics
    again = Toy(tmp_path)
    again.run(resume=True)
    assert (again.draws, again.state, again.metrics) == (0, before, metrics)


def test_a_loss_that_is_not_finite_stops_the_run_and_leaves_the_last_good_state(tmp_path):
    eager = replace(CONFIG, save_every_s=0)  # saves after every step
    with pytest.raises(FloatingPointError, match=r"by step 8 .*resume from the last saved state"):
        Toy(tmp_path, eager, nan_at_draw=8).run()
    toy = Toy(tmp_path)
    assert toy.saved_step == 7
    assert all(tensor.isfinite().all() for tensor in load_tensors(toy.state).values())
    toy.run(resume=True)
    assert toy.saved_step == 12


def test_a_loss_that_is_not_finite_is_seen_at_the_next_log_at_the_latest(tmp_path):
    with pytest.raises(FloatingPointError, match=r"by step 10 \(first nan"):
        Toy(tmp_path, nan_at_draw=8).run()
    assert not (tmp_path / "state.safetensors").exists()


def test_breaking_off_after_the_loss_broke_does_not_save_it(tmp_path):
    toy = Toy(tmp_path, nan_at_draw=2, stop_at_draw=4)
    with pytest.raises(FloatingPointError, match="by step 3"):
        toy.run()
    assert not (tmp_path / "state.safetensors").exists()


def refusal(action) -> str:
    with pytest.raises(InputError) as caught:
        action()
    return str(caught.value)


def test_a_folder_that_holds_a_run_is_not_begun_anew(tmp_path):
    Toy(tmp_path).run()
    metrics = Toy(tmp_path).metrics
    assert "already holds a run; continue it with --resume" in refusal(Toy(tmp_path).run)
    assert Toy(tmp_path).metrics == metrics


def test_what_cannot_be_resumed_is_refused(tmp_path):
    assert "holds no run to resume" in refusal(lambda: Toy(tmp_path).run(resume=True))
    toy = Toy(tmp_path)
    toy.run()
    whole, path = toy.state, tmp_path / "state.safetensors"
    path.write_bytes(whole[: len(whole) // 2])
    assert "not a whole file of mpt" in refusal(lambda: Toy(tmp_path).run(resume=True))
    path.write_bytes(whole.replace(b"mpt-state-1", b"mpt-state-9"))
    assert "its format is 'mpt-state-9'" in refusal(lambda: Toy(tmp_path).run(resume=True))
    path.write_bytes(whole)
    with pytest.raises(InputError, match="do not fit this configuration"):
        wider = nn.Linear(4, 4)
        Run(tmp_path).load_state(wider)


def test_what_a_run_that_never_saved_has_left_may_be_written_over_and_nothing_else(tmp_path):
    Run.begin(tmp_path, CONFIG).log(step=1, loss=2.0)
    Run.begin(tmp_path, CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json"]
    (tmp_path / "model.safetensors").write_bytes(b"a model of mine")
    assert "model.safetensors is there already" in refusal(lambda: Run.begin(tmp_path, CONFIG))
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "config.json").write_text('{"compilerOptions": {}}')
    assert "config.json is there already" in refusal(lambda: Run.begin(tmp_path, CONFIG))
    (tmp_path / "config.json").unlink()
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    assert "metrics.jsonl is there already" in refusal(lambda: Run.begin(tmp_path, CONFIG))
    assert (tmp_path / "metrics.jsonl").read_text() == "{}\n"


def test_two_processes_never_train_in_one_folder(tmp_path):
    pytest.importorskip("fcntl")
    program = (
        "import sys; from pathlib import Path; from mpt.recipes.loop import Run\n"
        "run = Run(Path(sys.argv[1])); run.claim(); print('claimed', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "claimed\n"
        assert "another process is training in this folder" in refusal(lambda: Run.begin(tmp_path, CONFIG))
        assert list(tmp_path.iterdir()) == []
        other.kill()
    run = Run.begin(tmp_path, CONFIG)  # it ended, however it did
    with pytest.raises(InputError, match="another process is training"):
        Run(tmp_path).claim()
    run.close()
    Run(tmp_path).claim()


def test_a_record_that_is_none_is_not_cut(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1}\nsomething else\n')
    assert "is no record of a run" in refusal(lambda: Run(tmp_path).forget_after(3))
    assert (tmp_path / "metrics.jsonl").read_text() == '{"step": 1}\nsomething else\n'


def test_the_steps_have_the_threads_that_were_asked_for_and_the_caller_keeps_its_own(tmp_path):
    seen = []

    class Asked(Toy):
        def losses_of(self, model, batch, generator):
            seen.append(torch.get_num_threads())
            return super().losses_of(model, batch, generator)

        def validate(self, model):
            seen.append(torch.get_num_threads())
            return super().validate(model)

    count, before = os.cpu_count(), torch.get_num_threads()
    toy = Asked(tmp_path / "run")
    toy.run(threads=count)
    assert seen == [count] * 14
    assert torch.get_num_threads() == before
    assert Run(toy.folder).threads == count


def test_a_number_of_threads_that_cannot_be_begins_no_step(tmp_path):
    toy = Toy(tmp_path / "run")
    with pytest.raises(InputError, match="--threads is 0, and this computer has"):
        toy.run(threads=0)
    assert toy.draws == 0


def test_the_first_steps_are_tried_and_a_resumed_run_goes_on_with_what_they_told(tmp_path, capsys):
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        toy = Toy(tmp_path / "run", config=replace(CONFIG, steps=8), stop_at_draw=8)
        with pytest.raises(KeyboardInterrupt):
            toy.run()
        assert "from here on; --threads says otherwise" in " ".join(capsys.readouterr().err.split())
        settled = Run(toy.folder).threads
        assert settled in (1, 2)
        toy.run(resume=True)
        assert f"a step goes on by {settled} of 2 threads" in capsys.readouterr().err
    finally:
        torch.set_num_threads(before)
