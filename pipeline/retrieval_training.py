"""Train the network of ``--retrieval resnet50`` on the good views of many objects.

    python -m pipeline.retrieval_training --data_dir data/LEGO-3D

The file that it writes has the format of the paper's ``net_best.pth``. Pass its folder as ``--weights_dir`` afterwards.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from retrieval.settings import TrainConfig
from utils.config import Parser, add_options, from_args
from utils.errors import exit_code_of


@dataclass(frozen=True)
class RetrievalTraining:
    """Options of the training."""

    data_dir: Path = Path("data/LEGO-3D")  # folder that contains the objects' folders
    objects: str = ""  # comma-separated names; all objects of data_dir if omitted
    out: Path = Path("ckpts/retrieval/net_best.pth")  # file to write
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute
    weights_dir: str = ""  # folder that is searched first for ImageNet weights
    backbone: Literal["paper", "random"] = "paper"  # start from ImageNet's weights, as the paper does, or random ones
    overwrite: bool = False  # replace the file if it exists
    quiet: bool = False  # no progress


def main(argv: list[str]) -> int:
    """Train and save the network; return the exit code."""
    parser = Parser((__doc__ or "").split("\n")[0])
    add_options(parser, RetrievalTraining)
    add_options(parser, TrainConfig)
    args = parser.parse_args(argv)
    options, config = from_args(RetrievalTraining, args), from_args(TrainConfig, args)
    from pipeline.retrieval_network import train_network  # noqa: PLC0415  after parsing: --help stays quick

    train_network(options, config)
    return 0


if __name__ == "__main__":
    sys.exit(exit_code_of(lambda: main(sys.argv[1:])))
