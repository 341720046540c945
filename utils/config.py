"""Every setting of the program, once: its name, type, default and, as its comment, its meaning.

The options of the command line, the keys of the config files and ``configs/README.md`` are made from these fields. A
field of a group is called ``<group>_<field>`` there, as in ``--field_steps``; the group's ``method`` is called like the
group, as in ``--field mlp``; what the paper's files set keeps its name there. Nothing heavy is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from utils.errors import InputError

ALL_OBJECTS = "all"


def require(condition: bool, key: str, expected: str, found: object) -> None:
    """Raise an InputError that names ``key`` unless ``condition`` holds."""
    if not condition:
        raise InputError(
            f"{key} must be {expected}, found {found!r}; correct it in the config file or on the command line."
        )


@dataclass(frozen=True)
class FieldConfig:
    """The radiance field, and the voxel field's training."""

    method: Literal["voxel", "mlp"] = "voxel"  # voxels that start from the visual hull, or the paper's NeRF
    resolution: int = 192  # voxels along the longest side of the object at the finest level
    levels: int = 3  # levels, from coarse to fine; each halves the voxels' side
    steps: int = 1200  # optimiser steps in all; later levels get more of them
    rays_per_step: int = 16384  # pixels in one optimiser step
    density_rate: float = 1.0  # Adam's step size for raw densities at the start of a level
    colour_rate: float = 0.1  # Adam's step size for colours at the start of a level
    final_rate: float = 0.1  # step sizes at the end of a level, as a fraction of those at its start
    smoothness: float = 0.03  # pull of a raw density to its neighbours' mean at each step, at the start of a level
    vote: float = 0.95  # share of the views in whose silhouette a point must lie to belong to the visual hull

    def __post_init__(self) -> None:
        require(1 <= self.levels <= 6, "field_levels", "between 1 and 6", self.levels)
        lowest = 8 << (self.levels - 1)
        require(lowest <= self.resolution <= 1024, "field_resolution", f"between {lowest} and 1024", self.resolution)
        require(self.steps >= self.levels, "field_steps", "at least one a level", self.steps)
        require(self.rays_per_step >= 64, "field_rays_per_step", "at least 64", self.rays_per_step)
        require(0 < self.vote <= 1, "field_vote", "above 0 and at most 1", self.vote)

    def resolutions(self) -> list[int]:
        """Voxels along the longest side at each level."""
        return [self.resolution >> (self.levels - 1 - level) for level in range(self.levels)]

    def level_ends(self) -> list[int]:
        """The step at which each level ends: later levels get more steps."""
        shares = [level + 2 for level in range(self.levels)]
        return [round(self.steps * sum(shares[: level + 1]) / sum(shares)) for level in range(self.levels)]


@dataclass(frozen=True)
class NerfConfig:
    """The paper's NeRF (`field = mlp`), by the names that nerf-pytorch gives its settings."""

    netdepth: int = 8  # layers of the coarse network
    netwidth: int = 256  # channels of a layer of the coarse network
    netdepth_fine: int = 8  # layers of the fine network
    netwidth_fine: int = 256  # channels of a layer of the fine network
    multires: int = 10  # frequencies of the positions' encoding
    multires_views: int = 4  # frequencies of the viewing directions' encoding
    use_viewdirs: bool = True  # colours depend on the viewing direction
    N_samples: int = 64  # samples a ray for the coarse network
    N_importance: int = 64  # samples a ray drawn where the coarse network found something; 0 leaves out the fine one
    perturb: float = 1.0  # 1 jitters samples in training, 0 does not
    raw_noise_std: float = 0.0  # standard deviation of noise on raw densities in training
    N_rand: int = 1024  # rays in one training step
    N_iters: int = 200000  # training steps
    nerf_lrate: float = 5e-4  # Adam's step size in training at the start (nerf-pytorch's lrate)
    lrate_decay: float = 500.0  # thousands of steps in which the step size falls to a tenth
    no_batching: bool = True  # the rays of a step come from one view, not from all
    precrop_iters: int = 500  # first steps, whose rays come from the pictures' middle
    precrop_frac: float = 0.5  # share of height and width that counts as the middle
    near: float | None = None  # distance along the viewing axis at which rays begin; none: found from the silhouettes
    far: float | None = None  # distance along the viewing axis at which rays end; none: found from the silhouettes
    chunk: int = 32768  # rays rendered at once
    precision: Literal["float32", "tf32", "bfloat16"] = "float32"  # of the networks' matrix products
    compile: bool = False  # let torch.compile translate the networks first
    ft_path: str = ""  # nerf-pytorch checkpoint (.tar) to take in place of training

    def __post_init__(self) -> None:
        for key in ("netdepth", "netwidth", "netdepth_fine", "netwidth_fine", "N_rand", "N_iters", "chunk"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(self.N_samples >= 2, "N_samples", "at least 2", self.N_samples)
        require(self.N_importance >= 0, "N_importance", "0 or more", self.N_importance)
        require(0 < self.precrop_frac <= 1, "precrop_frac", "above 0 and at most 1", self.precrop_frac)
        both = (self.near is None) == (self.far is None)
        require(both, "near and far", "given both or neither", (self.near, self.far))
        if self.near is not None and self.far is not None:
            require(0 <= self.near < self.far, "near and far", "0 <= near < far", (self.near, self.far))


@dataclass(frozen=True)
class RetrievalConfig:
    """Retrieval of coarse poses from a gallery of posed views."""

    # how pictures are compared: colour thumbnails (no weights), ResNet-50 descriptors, EfficientNet-B4 feature
    # distance, or the number of LoFTR matches
    method: Literal["thumbnails", "resnet50", "efficientnet_b4", "loftr"] = "thumbnails"
    hypotheses: int = 6  # coarse poses a query, each verified by refinement
    virtual_views: int = 400  # viewpoints between the cameras at which thumbnails are rendered too, at most
    size: int = 224  # pixels of a side to which networks other than LoFTR see pictures scaled
    loftr_size: int = 400  # pixels of the longer side to which LoFTR sees pictures scaled, rounded to a multiple of 8

    def __post_init__(self) -> None:
        require(self.hypotheses >= 1, "retrieval_hypotheses", "at least 1", self.hypotheses)
        require(32 <= self.size <= 4096, "retrieval_size", "between 32 and 4096 pixels", self.size)
        require(32 <= self.loftr_size <= 4096, "retrieval_loftr_size", "between 32 and 4096 pixels", self.loftr_size)


@dataclass(frozen=True)
class RefineConfig:
    """Refinement of coarse poses, by Gauss-Newton steps between pictures of the object or by the paper's iNeRF."""

    method: Literal["gauss_newton", "adam"] = "gauss_newton"  # adam is iNeRF
    renderings: int = 2  # pictures of the object a level and coarse pose, at most (twice as many at the finest)
    iterations: int = 2  # second-order steps after each picture (twice as many at the finest level)
    keep: int = 4  # coarse poses that go on after the first picture of each; one fewer after each further picture
    give_up: float = 2.0  # coarse poses whose robust difference exceeds the best one's by this factor are dropped
    robust_scale: float = 0.15  # colour difference (RGB norm) that counts half in weights at full resolution
    cost_scale: float = 0.1  # colour difference (RGB norm) that counts half in the robust difference
    found_cost: float = 0.65  # mean robust difference (0 to 1) above which no pose counts as found
    found_overlap: float = 0.75  # overlap of the silhouettes (0 to 1) below which no pose counts as found


@dataclass(frozen=True)
class InerfConfig:
    """The paper's iNeRF (`refine = adam`), by the names that its files give its settings."""

    sampling_strategy: Literal["random", "interest_points", "interest_regions"] = "interest_regions"  # of pixels
    batch_size: int = 3072  # pixels in one step
    kernel_size: int = 5  # side in pixels of the square by which interest points grow into regions
    dil_iter: int = 3  # times that they grow
    lrate: float = 0.01  # Adam's step size at the start; it falls by a fifth every 100 steps
    inerf_steps: int = 300  # steps a coarse pose
    early_stop: float = 0.0  # stop once 20 steps together move the camera by less (radians and scene units); 0 never
    save_video: bool = False  # write the optimisation of each query as video.gif

    def __post_init__(self) -> None:
        for key in ("batch_size", "kernel_size", "inerf_steps"):
            require(getattr(self, key) >= 1, key, "at least 1", getattr(self, key))
        require(self.dil_iter >= 0, "dil_iter", "0 or more", self.dil_iter)
        require(self.lrate > 0, "lrate", "above 0", self.lrate)
        require(self.early_stop >= 0, "early_stop", "0 or more", self.early_stop)


@dataclass(frozen=True)
class ScoreConfig:
    """The comparison of a query with its reference, and the threshold."""

    # how pictures are compared: a small network over a calibrated difference, or the paper's colours and
    # EfficientNet-B4 features
    method: Literal["calibrated", "paper"] = "calibrated"
    false_positive_rate: float = 0.05  # fraction of normal views that the stored threshold may call defective
    size: int = 224  # pixels of a side at which the paper's comparison sees pictures (PIAD reports it at 400)
    sigma: float = 4.0  # pixels by which the paper's comparison smooths its map

    def __post_init__(self) -> None:
        require(
            0 < self.false_positive_rate < 1, "score_false_positive_rate", "between 0 and 1", self.false_positive_rate
        )
        require(32 <= self.size <= 4096, "score_size", "between 32 and 4096 pixels", self.size)
        require(self.sigma > 0, "score_sigma", "above 0", self.sigma)


@dataclass(frozen=True)
class RobustnessConfig:
    """Studies of robustness: fewer training views, and queries with noise or another brightness."""

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


@dataclass(frozen=True)
class Config:
    """One object's settings."""

    object_name: str = ""  # folder name of the object in data_dir; "all" runs every object of configs/LEGO-3D
    data_dir: str = "data/LEGO-3D"  # folder that holds the objects' folders
    ckpt_dir: str = "ckpts"  # folder that training writes to, one folder an object
    output_dir: str = "output"  # folder that testing writes to, one folder an object
    image_size: int = 400  # longer side in pixels to which larger pictures are averaged down; smaller ones stay
    background: Literal["white", "black"] = "white"  # colour behind the object, on which transparent pictures are laid
    held_out_every: int = 8  # every n-th view is kept from training, to measure the field and to calibrate the score
    min_psnr: float = 22.0  # mean PSNR in dB of the held-out views below which the field counts as bad
    allow_bad_field: bool = False  # go on with a field that fails min_psnr
    seed: int = 0  # seed of every random choice
    device: Literal["auto", "cpu", "cuda"] = "auto"  # where to compute; auto takes a CUDA device if there is one
    overwrite: bool = False  # redo steps that are done already
    quiet: bool = False  # print results only, no progress
    weights_dir: str = ""  # folder in which pretrained weights are looked for first
    random_weights: bool = False  # take random weights in place of pretrained ones; results say so
    # whose EfficientNet-B4 is used: that of the paper's code (efficientnet_pytorch), or torchvision's
    efficientnet_weights: Literal["paper", "torchvision"] = "paper"
    field: FieldConfig = FieldConfig()
    nerf: NerfConfig = NerfConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    refine: RefineConfig = RefineConfig()
    inerf: InerfConfig = InerfConfig()
    score: ScoreConfig = ScoreConfig()
    robustness: RobustnessConfig = RobustnessConfig()

    def __post_init__(self) -> None:
        require(16 <= self.image_size <= 4096, "image_size", "between 16 and 4096 pixels", self.image_size)
        require(self.held_out_every >= 2, "held_out_every", "at least 2", self.held_out_every)
        require(
            self.object_name == Path(self.object_name).name and self.object_name not in (".", ".."),
            "object_name",
            "the name of a folder in data_dir, without slashes",
            self.object_name,
        )

    @property
    def object_dir(self) -> Path:
        """The object's pictures."""
        return Path(self.data_dir) / self.object_name

    @property
    def checkpoint_dir(self) -> Path:
        """What training writes for the object."""
        return Path(self.ckpt_dir) / self.object_name

    @property
    def result_dir(self) -> Path:
        """What testing writes for the object."""
        return Path(self.output_dir) / self.object_name

    @property
    def background_rgb(self) -> tuple[float, float, float]:
        """The background's RGB in [0, 1]."""
        return (1.0, 1.0, 1.0) if self.background == "white" else (0.0, 0.0, 0.0)

    def named(self, object_name: str) -> Config:
        """The same settings for another object."""
        return replace(self, object_name=object_name)


# Keys that say how one run goes and change no result: not written to config.txt, not part of what makes a step valid.
RUN_KEYS = frozenset({"overwrite", "quiet", "allow_bad_field", "weights_dir", "save_video"})

# Groups whose keys bear the paper's names, without the group's name before them.
PAPER_GROUPS = ("nerf", "inerf", "robustness")

# Other names of a key, by which the paper's commands and files work as they are.
ALIASES = {
    "object_name": ("class_name", "obj", "model_name"),
    "data_dir": ("dataset_path",),
    "ckpt_dir": ("checkpoint_dir", "basedir"),
    "output_dir": ("output_path",),
}

ROOT = Path(__file__).resolve().parent.parent


def object_config_file(object_name: str) -> Path:
    """The config file of one of the configured objects."""
    return ROOT / "configs" / "LEGO-3D" / f"{object_name}.txt"


def configured_objects() -> list[str]:
    """The objects that have a file in ``configs/LEGO-3D``, sorted by name."""
    return sorted(path.stem for path in object_config_file("x").parent.glob("*.txt"))
