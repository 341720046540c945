"""The paper's NeRF (arXiv:2003.08934): a coarse and a fine network, with nerf-pytorch's conventions and settings.

- ``field``: the trained field, its rendering and its file; ``train``: training as nerf-pytorch does it;
- ``official``: fields from nerf-pytorch's checkpoints, such as the paper's authors publish;
- ``network``: the networks; ``sampling``: rays and where their samples lie; ``rendering``: from rays to colours.
"""

from nerf.mlp.field import MlpField, load_mlp_field
from nerf.mlp.official import import_official_field
from nerf.mlp.train import train_mlp_field

__all__ = ["MlpField", "import_official_field", "load_mlp_field", "train_mlp_field"]
