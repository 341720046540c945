"""The doctor's page: checks, cameras and hull from two sides, IoU of each view, the views that fit worst."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from data.doctor.fit import Fit, hull_silhouette
from data.doctor.hypotheses import Diagnosis, Hypothesis, apply_to_poses, flip_images, with_focal
from data.doctor.report import DoctorReport
from data.doctor.verdict import odd_views
from report.charts import bar_chart
from report.heatmap import outline_path
from report.template import load_template, read_assets
from utils.camera import Intrinsics
from utils.checkpoint import write_text
from utils.images import to_data_url

TEMPLATES = Path(__file__).resolve().parent
WORST = 8  # number of views shown
SIDE = 360  # of a drawing, SVG units
FRUSTUM = 0.12  # depth of a drawn camera as a share of its distance
SIDES = {"from above": (0, 1, [0, 0, 1]), "from the side": (0, 2, [0, -1, 0])}  # axes right and up, and the eye's side


def write_page(path: Path, report: DoctorReport) -> None:
    """Write the self-contained page atomically."""
    page = load_template("doctor.html", TEMPLATES).render(
        name=report.frames.folder.resolve().name, style=read_assets("report.css"), **page_content(report)
    )
    write_text(path, page)


def page_content(report: DoctorReport) -> dict[str, Any]:
    """Return what the template shows."""
    poses = apply_to_poses(report.frames.matrices, [path.name for path in report.frames.paths], Hypothesis())
    camera, diagnosis = report.silhouettes.camera, report.diagnosis
    content: dict[str, Any] = {"checks": report.checks, "good": report.good, "views": len(report.frames)}
    if diagnosis is None:
        scenes = [("As given", draw_scene(poses, camera, None))]
        return {**content, "scenes": scenes, "bars": "", "worst": [], "trials": [], "changed": False}
    names = [report.frames.paths[row].name for row in report.silhouettes.rows]
    matrices = report.frames.matrices[report.silhouettes.rows]
    scenes = [("As given", draw_scene(apply_to_poses(matrices, names, Hypothesis()), camera, diagnosis.given))]
    best = apply_to_poses(matrices, names, diagnosis.best)
    if diagnosis.best != Hypothesis():
        scenes.append((f"Read as: {diagnosis.best.describe()}", draw_scene(best, camera, diagnosis.fit)))
    fits = {"best": diagnosis.fit.iou} if diagnosis.best != Hypothesis() else {}
    return {
        **content,
        "scenes": scenes,
        "bars": bar_chart({**fits, "given": diagnosis.given.iou}, "view", "views in order"),
        "worst": worst_views(report, diagnosis, best, names),
        "trials": [(item.describe(), f"{iou:.3f}") for item, iou in diagnosis.trials[:12]],
        "changed": diagnosis.best != Hypothesis(),
    }


def draw_scene(poses: np.ndarray, camera: Intrinsics, fit: Fit | None) -> list[tuple[str, str]]:
    """Draw cameras and hull from two sides; return the name of each side and its SVG."""
    points = fit.points if fit is not None else np.empty((0, 3), np.float32)
    middle = points.mean(axis=0) if len(points) else np.median(poses[:, :3, 3], axis=0)
    distance = max(float(np.median(np.linalg.norm(poses[:, :3, 3] - middle, axis=1))), 1e-9)
    lines = frusta(poses, camera, FRUSTUM * distance)  # (views, 8, 3)
    reach = 1.05 * float(np.quantile(np.abs(lines - middle), 0.999)) + 1e-9
    wrong = set(odd_views(fit.iou)) if fit is not None and len(fit.iou) == len(poses) else set()
    drawings = []
    for name, (right, up, eye) in SIDES.items():
        parts = [draw_hull((points - middle) / reach, (right, up), eye)] if len(points) else []
        for view, frustum in enumerate(0.5 * SIDE * (1.0 + (lines - middle)[:, :, (right, up)] * [1, -1] / reach)):
            odd = view in wrong
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in frustum)
            parts.append(f'<path d="{path}" class="{"camera odd" if odd else "camera"}"/>')
        drawings.append((name, f'<svg class="scene" viewBox="0 0 {SIDE} {SIDE}" role="img">{"".join(parts)}</svg>'))
    return drawings


def frusta(poses: np.ndarray, camera: Intrinsics, depth: float) -> np.ndarray:
    """Return a line that draws each camera as a pyramid: (views, 8, 3) world points."""
    right, up = 0.5 * camera.width / camera.focal_x, 0.5 * camera.height / camera.focal_y
    apex, a, b, c, d = [0, 0, 0], [-right, up, -1], [right, up, -1], [right, -up, -1], [-right, -up, -1]
    line = depth * np.array([a, b, c, d, a, apex, c, apex], dtype=float)
    return line @ poses[:, :3, :3].transpose(0, 2, 1) + poses[:, None, :3, 3]


def draw_hull(points: np.ndarray, axes: tuple[int, int], eye: list[int]) -> str:
    """Draw a hull, points (points, 3) in [-1, 1], as an SVG image with nearer parts lighter."""
    size = SIDE // 2
    place = ((0.5 + 0.5 * points[:, axes] * [1, -1]) * (size - 1)).round().astype(int).clip(0, size - 1)
    span = points @ np.array(eye, dtype=points.dtype)
    order = np.argsort(span)
    shade = 90 + 110 * (span - span.min()) / max(float(np.ptp(span)), 1e-9)
    image = np.full((size, size, 3), 255, dtype=np.uint8)
    image[place[order, 1], place[order, 0]] = np.stack([shade, shade, shade * 0.9 + 25], axis=1)[order]
    url = to_data_url(image, size)
    return f'<image href="{url}" width="{SIDE}" height="{SIDE}" class="hull"/>'


def worst_views(
    report: DoctorReport, diagnosis: Diagnosis, poses: np.ndarray, names: list[str]
) -> list[dict[str, Any]]:
    """Return the views that fit worst: image, outlines of the silhouette and of the hull."""
    if len(diagnosis.fit.iou) != len(poses):  # only some of very many views were evaluated
        return []
    camera = with_focal(report.silhouettes.camera, diagnosis.best.focal)
    cards = []
    for view in np.argsort(diagnosis.fit.iou, kind="stable")[:WORST]:
        hull = hull_silhouette(diagnosis.fit, poses[view], camera)
        mask = np.ascontiguousarray(flip_images(report.silhouettes.masks[view], diagnosis.best.flip))
        image = flip_images(np.moveaxis(report.silhouettes.images[view], 2, 0), diagnosis.best.flip)
        cards.append(
            {
                "name": names[view],
                "iou": f"{diagnosis.fit.iou[view]:.3f}",
                "width": camera.width,
                "height": camera.height,
                "photo": to_data_url(np.moveaxis(image, 0, 2), max(camera.width, camera.height)),
                "silhouette": outline_path(torch.from_numpy(mask)),
                "hull": outline_path(torch.from_numpy(hull)),
            }
        )
    return cards
