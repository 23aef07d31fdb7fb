"""Make the documentation's pictures: python docs/make_pictures.py [--mocap FOLDER]

Every picture is the program's own. ``--mocap`` is a folder of CMU motion (npz, BVH or AMC); without it the
picture of retargeted poses is left as it is. Needs the `plots` extra.
"""

import argparse
from pathlib import Path

import cv2
import matplotlib.pyplot as plt
import numpy as np
import roma
import torch

import mpt
from mpt import bodies, heatmaps, mocap, results
from mpt.biomechanics.skin import skin_points
from mpt.bodies.retarget import retarget
from mpt.cameras import h36m_s1
from mpt.clothes import clothes_of
from mpt.crops import Crop
from mpt.export import write_picture
from mpt.pose2d.blazepose import BlazePose
from mpt.recipes.poses import repair
from mpt.render import Figure, Perspective, overlay, side_view, vertex_normals
from mpt.saving import standing_mesh
from mpt.scenes import demo_hands, demo_scenes
from mpt.skeletons import COCO29

PICTURES = Path(__file__).parent / "pictures"
POSES = (
    ("29/29_01", 30), ("35/35_20", 40), ("06/06_01", 60), ("61/61_daz05", 300),
    ("85/85_14", 330), ("90/90_08", 40), ("127/127_32", 40), ("05/05_06", 120),
    ("49/49_02", 200), ("02/02_05", 100), ("88/88_01", 60), ("16/16_15", 50),
)  # fmt: skip


def demo() -> None:
    """Made-up photographs, and what the program makes of them."""
    reconstruct = mpt.load()
    for scene in demo_scenes():
        picture = results.draw(scene.image, reconstruct(scene.image))
        height = 540
        beside = np.concatenate([scene.image, picture], 1)
        width = round(beside.shape[1] * height / beside.shape[0])
        write_picture(
            PICTURES / f"demo-{scene.name}.png",
            cv2.resize(beside, (width, height), interpolation=cv2.INTER_AREA),
        )


def hands() -> None:
    """Photographed hands, right and left (above), and the meshes found in them (below)."""
    reconstruct, columns = mpt.load("mpt-hand"), []
    for scene in demo_hands():
        found = reconstruct(scene.image, focal_px=scene.K[0, 0])
        figures = [Figure(standing_mesh(person), person.faces) for person in found]
        view = Perspective(scene.K[0, 0], (scene.K[0, 2], scene.K[1, 2]))
        below = overlay(scene.image, figures, view) if found else scene.image
        near = Crop.around(scene.people[0].joints2d_px, 1.4)
        columns.append(np.concatenate([near.warp(picture, 220) for picture in (scene.image, below)]))
    write_picture(PICTURES / "hands.png", np.concatenate(columns, 1))


def retargeted(folder: Path) -> None:
    """Twelve captured poses on the body."""
    body = bodies.load()
    figures = []
    for clip, frame in POSES:
        path = folder / f"{clip}.npz"
        motion = mocap.read(path)
        bones, rotvec = retarget(motion, body)
        rotvec, _ = repair(rotvec[min(frame, len(rotvec) - 1)][None], body)
        rotations = roma.rotvec_to_rotmat(torch.from_numpy(rotvec).float())
        vertices = body.with_bones(bones)(rotations, torch.zeros(1, body.shape_count)).vertices[0].numpy()
        figures.append(Figure(vertices * [1, -1, -1], body.faces.numpy(), clothes=clothes_of(body)))
    rows = []
    for start in (0, 6):
        row = [side_view([f], 420, max_width_px=320) for f in figures[start : start + 6]]
        row = [cv2.copyMakeBorder(p, 0, 0, 0, max(0, 320 - p.shape[1]), cv2.BORDER_REPLICATE) for p in row]
        rows.append(np.concatenate(row, 1))
    write_picture(PICTURES / "retargeted.png", np.concatenate(rows))


def cameras() -> None:
    """Figure 7: the virtual cameras from above; black the paper's four, green the interpolated ones."""
    rig = h36m_s1(8)
    x, _, z = rig.centers.T
    gaze = rig.rotation[:, 2]
    figure, axes = plt.subplots(figsize=(5, 5))
    for i in range(8):
        colour = "black" if i < 4 else "tab:green"
        axes.plot(x[i], z[i], "o", color=colour, markersize=8)
        axes.annotate(
            "",
            (x[i] + gaze[i, 0], z[i] + gaze[i, 2]),
            (x[i], z[i]),
            arrowprops={"arrowstyle": "->", "color": colour},
        )
    axes.plot(0, 0, "o", color="tab:red")
    axes.annotate("mid-hip, facing +z", (0, 0), (0.25, 0.1))
    axes.set(xlabel="x (m), the person's left", ylabel="z (m)", aspect="equal")
    axes.grid(alpha=0.3)
    figure.savefig(PICTURES / "cameras.png", dpi=110, bbox_inches="tight")
    plt.close(figure)


def maps() -> None:
    """Heatmaps side by side: the paper's, noisy synthetic ones, and BlazePose's on a made-up photograph."""
    scene = next(iter(demo_scenes()))
    person = BlazePose()(scene.image)[0]
    in_crop = person.crop.crop_from_image(224)
    points = torch.from_numpy(scene.people[0].joints2d_px @ in_crop[:, :2].T + in_crop[:, 2]).float()[None]
    generator = torch.Generator().manual_seed(5)
    seen = torch.ones(points.shape[:2], dtype=torch.bool)
    noisy, floor = heatmaps.perturb(points, seen, COCO29, heatmaps.DETECTOR, 224, generator)
    shown = {
        "the paper's (Eq. 1)": heatmaps.render(heatmaps.blobs(points))[0],
        "synthetic, detector-like": heatmaps.add_floor(heatmaps.render(noisy), floor, generator)[0],
        "BlazePose's": torch.from_numpy(person.heatmaps),
    }
    figure, rows = plt.subplots(3, 6, figsize=(12, 6.2))
    joints = ("nose", "left_shoulder", "left_wrist", "right_knee", "right_ankle")
    for row, (name, stack) in zip(rows, shown.items()):
        row[0].imshow(stack.amax(0), cmap="magma", vmin=0, vmax=1)
        row[0].set_title(name, fontsize=10)
        for axes, joint in zip(row[1:], joints):
            axes.imshow(stack[COCO29.index(joint)], cmap="magma", vmin=0, vmax=1)
            axes.set_title(joint.replace("_", " "), fontsize=9)
        for axes in row:
            axes.set_axis_off()
    figure.tight_layout()
    figure.savefig(PICTURES / "heatmaps.png", dpi=90)
    plt.close(figure)


def markers() -> None:
    """The points of the skin that tables of markers hold, from ahead, from the left and from behind."""
    body = bodies.load()
    vertices, faces = body.template.double().numpy() * [1, -1, -1], body.faces.numpy()
    worn = clothes_of(body)
    points = {name: vertex for name, vertex in skin_points(body).items() if not name.startswith("R.")}
    normals, size, lens = vertex_normals(vertices, faces), (760, 1180), Perspective(5200.0, (379.5, 589.5))
    figure, panels = plt.subplots(1, 3, figsize=(15, 8))
    for axes, name, degrees in zip(panels, ("ahead", "the left", "behind"), (0, 90, 180)):
        turn = roma.rotvec_to_rotmat(torch.tensor([0, np.radians(degrees), 0])).numpy()
        turned = vertices @ turn.T + [0, 0, 8]
        axes.imshow(
            overlay(
                np.full((size[1], size[0], 3), 255, np.uint8), [Figure(turned, faces, clothes=worn)], lens
            )
        )
        for marker, vertex in points.items():
            if (normals[vertex] @ turn.T)[2] < -0.35:
                x, y = lens.project(turned[vertex])
                axes.plot(x, y, ".", color="tab:red", markersize=5)
                beside = {"ha": "right"} if marker in ("L.PSIS", "L.Toe.Lat") else {}
                offset = (-5 if beside else 5, -2)
                axes.annotate(marker, (x, y), offset, textcoords="offset points", fontsize=7, **beside)
        axes.set_title(f"from {name}", fontsize=10)
        axes.set_axis_off()
    figure.tight_layout()
    figure.savefig(PICTURES / "markers.png", dpi=80)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mocap", type=Path, help="folder of CMU motion capture, subject/clip.npz")
    options = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    cameras()
    if options.mocap:
        retargeted(options.mocap)
    maps()
    markers()
    demo()
    hands()


if __name__ == "__main__":
    main()
