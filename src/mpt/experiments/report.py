"""Our tables beside the paper's, from the results that a folder holds; Figure 4 as pictures.

Each number is the mean over seeds, with half of their range behind it where there are several.
"""

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from mpt import experiments
from mpt.errors import InputError
from mpt.experiments.cells import SCALES, Cell, Scale, Table
from mpt.export import is_our_png
from mpt.writing import begins_with, check_output, write_whole

SETS = {
    "rendered": "rendered pictures",
    "poses-random-perfect": "random cameras, perfect maps",
    "poses-random-detector": "random cameras, detector's",
    "poses-s1-perfect": "S1's cameras, perfect maps",
    "poses-s1-detector": "S1's cameras, detector's",
}
"""Those of cameras are held-out poses, with maps drawn perfectly or as a detector's are."""
METRICS = {
    "mpjpe_mm": "MPJPE",
    "pa_mpjpe_mm": "PA-MPJPE",
    "mpve_mm": "MPVE",
    "pa_mpvpe_mm": "PA-MPVPE",
    "f_5": "F@5",
    "f_15": "F@15",
}
SAYS = {
    "full": "With the paper's data.",
    "small": "Not with the paper's data: the same experiment on what is free, much shorter (scale small).",
    "tiny": "Eight steps, which show that everything runs and nothing else (scale tiny).",
}


@dataclass(frozen=True)
class Results:
    """What was measured of a cell at a scale, a result for each seed."""

    cell: Cell
    each: list[dict]

    def values(self, on: str, metric: str) -> list[float]:
        found = (result["measured"].get(on, {}) for result in self.each)
        return [numbers[metric] for numbers in found if metric in numbers]


def read(root: Path, scale: Scale) -> dict[str, list[dict]]:
    """Name of a cell -> its results in a folder, by seed."""
    found: dict[str, list[dict]] = {}
    for path in sorted((root / "cells").glob(f"*-{scale}-seed*.json")):
        try:
            result = json.loads(path.read_text())
            found.setdefault(result["cell"], []).append(result)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"{path}: is no whole result ({error}); remove it and run the cell again"
            ) from None
    return {name: sorted(results, key=lambda result: result["seed"]) for name, results in found.items()}


def write(root: Path, path: Path) -> None:
    """The tables of :func:`written` as a file. Raises InputError where there is another one already."""
    check_output(path, "report", begins_with(*(text.encode() for text in SAYS.values())))
    write_whole(path, written(root).encode(), "choose another --out")


def written(root: Path) -> str:
    """The tables of all scales that a folder holds, as Markdown. Raises InputError where there are none."""
    parts = []
    for scale in SCALES:
        found = read(root, scale)
        tables = [(experiments.table(name), _rows(name, scale, found)) for name in experiments.TABLES]
        if any(rows for _, rows in tables):
            parts += [SAYS[scale], *(_table(table, rows) for table, rows in tables if rows)]
    if not parts:
        raise InputError(f"{root}: holds no results of experiments; make some with `mpt experiments run`")
    parts.append(
        "Millimetres; means over n seeds, ± half of their range. Rows without a number of the paper's are "
        "ours. Columns by cameras are of held-out poses, their maps drawn perfectly or as a detector draws."
    )
    return "\n\n".join(parts) + "\n"


def _rows(table: str, scale: Scale, found: dict[str, list[dict]]) -> list[Results]:
    return [Results(c, found[c.name]) for c in experiments.cells(table, scale) if c.name in found]


def _table(table: Table, rows: list[Results]) -> str:
    """Markdown: a line for each cell, a column for what the paper measured and for each thing that we did."""
    sets = list(dict.fromkeys(on for row in rows for result in row.each for on in result["measured"]))
    told = {metric for row in rows for metric in row.cell.paper}
    ours = {m for row in rows for result in row.each for found in result["measured"].values() for m in found}
    metrics = [metric for metric in METRICS if metric in (told or METRICS) and metric in ours | told]
    shown = " / ".join(METRICS[metric] for metric in metrics)
    head = ["", f"paper: {table.measured}", *(SETS.get(on, on) for on in sets), "n"]
    lines = [f"{_titled(table)}: {table.title} ({shown})", "", _row(head), _row(["---"] * len(head))]
    for row in rows:
        paper = " / ".join(_number(row.cell.paper.get(metric), metric) for metric in metrics)
        mine = [" / ".join(_spread(row.values(on, metric), metric) for metric in metrics) for on in sets]
        lines.append(_row([row.cell.label, paper, *mine, str(len(row.each))]))
    return "\n".join([*lines, "", _counts(rows, sets)])


def _titled(table: Table) -> str:
    word = "Table" if table.name.startswith("table") else "Figure"
    return f"**{word} {table.name.removeprefix(word.lower())}**"


def _counts(rows: list[Results], sets: Iterable[str]) -> str:
    """What the numbers are from: how many samples of each kind, and how long the last runs were."""
    counts: dict[str, set[int]] = {}
    for on in sets:
        kind = "poses" if on.startswith("poses") else SETS.get(on, on)
        counts.setdefault(kind, set()).update(int(n) for row in rows for n in row.values(on, "samples"))
    measured = " and ".join(f"{_list(numbers)} {kind}" for kind, numbers in counts.items())
    seen = {result["run"]["samples"] for row in rows for result in row.each}
    return f"Measured on {measured}, after runs of {_list(seen)} samples."


def _list(numbers: Iterable[int]) -> str:
    return ", ".join(f"{number:,}" for number in sorted(numbers))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float | None, metric: str) -> str:
    if value is None:
        return "–"
    return f"{value:.1f}" if metric.endswith("_mm") else f"{value:.3f}"


def _spread(values: list[float], metric: str) -> str:
    if not values:
        return "–"
    mean = _number(sum(values) / len(values), metric)
    return mean if len(values) == 1 else f"{mean} ± {_number((max(values) - min(values)) / 2, metric)}"


# ------------------------------------------------------------------------------------------------ pictures


def drawn(root: Path, out: Path) -> list[Path]:
    """Figure 4's halves as PNG in ``out``, by scale, where the folder holds their cells.

    Raises InputError where matplotlib is missing, or other pictures lie where these should.
    """
    todo = []
    for scale in SCALES:
        found = read(root, scale)
        for name, draw in (("figure4a", _draw_steps), ("figure4b", _draw_shares)):
            if rows := _rows(name, scale, found):
                todo.append((out / f"{name}-{scale}.png", draw, rows, scale))
    if not todo:
        return []
    for path, *_ in todo:
        check_output(path, "picture", is_our_png)
    try:
        import matplotlib

        matplotlib.use("agg")
        from matplotlib import pyplot
    except ImportError:
        raise InputError(
            "pictures of Figure 4 are drawn with matplotlib, which is not installed: "
            "pip install 'mesh-pretraining[plots]'"
        ) from None
    for path, draw, rows, scale in todo:
        figure, axes = pyplot.subplots(figsize=(6.4, 3.6), dpi=150)
        on = "Human3.6M" if scale == "full" else "rendered pictures"
        draw(axes, rows)
        axes.set(ylabel=f"PA-MPJPE (mm), {on}", ylim=(0, 1.05 * axes.dataLim.y1))
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.tight_layout()
        content = io.BytesIO()
        figure.savefig(content, metadata={"Software": "mpt"})
        pyplot.close(figure)
        write_whole(path, content.getvalue(), "choose another --out")
    return [path for path, *_ in todo]


COLOURS = {"pretrained": "#2e6fb3", "scratch": "#b35c2e"}


def _draw_steps(axes, rows: list[Results]) -> None:
    """A curve for each seed."""
    for row in rows:
        start = row.cell.name.rpartition("-")[2]
        for k, result in enumerate(row.each):
            points = [(point["step"], point["pa_mpjpe_mm"]) for point in result["curve"]]
            count = len(row.each)
            label = f"{row.cell.label} ({count} seed{'s' * (count > 1)})" if k == 0 else None
            axes.plot(*zip(*points), color=COLOURS[start], label=label, linewidth=1.5)
    axes.set(xlabel="step of fine-tuning", xlim=(0, None))


def _draw_shares(axes, rows: list[Results]) -> None:
    """The mean over seeds, with their range."""
    shares = set()
    for start, colour in COLOURS.items():
        points = []
        for row in rows:
            _, share, of = row.cell.name.split("-")
            shares.add(float(share))
            for on in {on for result in row.each for on in result["measured"]}:
                if of == start:
                    values = row.values(on, "pa_mpjpe_mm")
                    points.append((float(share), sum(values) / len(values), min(values), max(values)))
        if points:
            share, mean, low, high = zip(*sorted(points))
            label = "pre-trained" if start == "pretrained" else "from scratch"
            axes.plot(share, mean, "o-", color=colour, label=label)
            axes.vlines(share, low, high, color=colour)
    axes.set(xlabel="share of the training data (%)", xscale="log")
    axes.set_xticks(sorted(shares), [f"{share:g}" for share in sorted(shares)])
