"""A made-up report of six queries with random images."""

from __future__ import annotations

import torch

from evaluation.metrics import evaluate
from evaluation.results import ObjectReport, QueryResult, verdict_at
from report.page import ImagesOf, QueryImages

HEIGHT, WIDTH = 30, 40
SCORES = {"good/0": 0.1, "good/2": 0.2, "good/10": 0.8, "Burrs/0": 0.3, "Burrs/1": 0.9, "Stains & <b>/0": 0.7}


def make_report(labelled: bool = True, names: dict[str, float] = SCORES) -> tuple[ObjectReport, ImagesOf]:
    rename = {name if labelled else f"photo {index}": name for index, name in enumerate(names)}
    queries = [
        QueryResult(
            name=shown,
            anomaly_score=names[name],
            verdict=verdict_at(names[name], 0.5),
            pose_found=name != "Burrs/1",
            camera_to_world=torch.eye(4),
            seconds=0.2,
            defect_type=name.split("/")[0] if labelled else None,
        )
        for shown, name in rename.items()
    ]

    def images_of(shown: str) -> QueryImages:
        name = rename[shown]
        generator = torch.Generator().manual_seed(len(name))
        image = (torch.rand(HEIGHT, WIDTH, 3, generator=generator) * 255).byte().numpy()
        anomaly_map = torch.zeros(HEIGHT, WIDTH)
        anomaly_map[5:12, 8:20] = names[name]
        reference = None if name == "Burrs/1" else image
        return QueryImages(image, reference, anomaly_map, anomaly_map > 0 if labelled and "good" not in name else None)

    report = ObjectReport(
        object_name="toy <1>",
        threshold=0.5,
        evaluation=evaluate(queries, 0.5),
        queries=tuple(queries),
        psnr=39.876,
        seconds={"train": 20.0},
        config={"image_size": 400},
    )
    return report, images_of
