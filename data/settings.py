"""Settings of the images, and of robustness studies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from utils.config import require

AUTOMATIC_SIZE = 0  # the image size that is to be found, see ``data/working_size.py``
BACKGROUNDS = {  # RGB in [0, 1] behind an object
    "white": (1.0, 1.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
}


@dataclass(frozen=True)
class RobustnessConfig:
    """Studies of robustness: fewer training views, and queries with noise or another brightness."""

    KEY_PREFIX: ClassVar[str] = ""

    # training views: all; a uniform draw of a share; the same without the highest and the lowest ring of cameras, as
    # published; or a few that lie farthest from each other
    view_split: Literal["all", "uniform", "published", "few_shot"] = "all"
    view_fraction: float = 0.2  # share of the training views that uniform and published draw
    few_shot_views: int = 4  # training views of few_shot
    # of queries: Gaussian with sigma, white and black (s_and_p), white (salt) or black (pepper) values in the share
    # amount, or that of counted light (poisson)
    noise: Literal["None", "gaussian", "s_and_p", "salt", "pepper", "poisson"] = "None"
    sigma: float = 0.01  # standard deviation of Gaussian noise, of values in [0, 1]
    amount: float = 0.05  # share of the colour values that s_and_p, salt and pepper replace
    delta_brightness: float = 0.0  # what is added to the brightness (HSV's V) of queries, -1 to 1

    def __post_init__(self) -> None:
        require(0 < self.view_fraction <= 1, "view_fraction", "above 0 and at most 1", self.view_fraction)
        require(self.few_shot_views >= 2, "few_shot_views", "at least 2", self.few_shot_views)
        require(self.sigma >= 0, "sigma", "0 or more", self.sigma)
        require(0 <= self.amount <= 1, "amount", "between 0 and 1", self.amount)
        require(-1 <= self.delta_brightness <= 1, "delta_brightness", "between -1 and 1", self.delta_brightness)
