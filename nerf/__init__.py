"""Radiance fields: an object's density and colour in space, learned from posed views and rendered from any pose.

- ``settings`` and ``registry``: what the command line needs to know, light to import and re-exported here;
- ``fields``: what every method of training a field offers, and the loader of saved fields;
- ``voxel``: the sparse voxel field, trained from the visual hull in seconds; the default;
- ``mlp``: the paper's NeRF, trained here or taken from a checkpoint of nerf-pytorch;
- ``compositing``: the law by which samples along a ray add up to a pixel, shared by both.
"""

from nerf.registry import FIELDS
from nerf.settings import FieldConfig, NerfConfig

__all__ = ["FIELDS", "FieldConfig", "NerfConfig"]
