"""Compiles what training and testing need, ahead of their first run: ``python -m pipeline.warm_up``.

The loops that numba compiles are kept in ``__pycache__`` beside their files. A tiny toy, trained and looked at once,
compiles them for the same types as a real object.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from data.synthetic.config import DatasetJob, ToyConfig
from data.synthetic.generate import generate
from nerf.settings import FieldConfig
from pipeline.config import Config
from pipeline.training import train_object
from retrieval.settings import RetrievalConfig
from utils.errors import exit_code_of


def main() -> int:
    """Train a toy of 32 pixels and detect one of its views; return the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        toy = Path(folder) / "toy"
        generate([DatasetJob(ToyConfig(toy="snail", views=40, queries=0, image_size=32), toy)])
        config = Config(
            object_name="toy",
            data_dir=folder,
            ckpt_dir=f"{folder}/ckpts",
            output_dir=f"{folder}/output",
            allow_bad_field=True,
            device="cpu",
            quiet=True,
            field=FieldConfig(resolution=16, levels=2, steps=20, rays_per_step=512),
            retrieval=RetrievalConfig(virtual_views=8),
        )
        train_object(config).detect(toy / "train/good/0.png")
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(main))
