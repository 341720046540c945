"""The radiance fields by name."""

from utils.registry import Registry

FIELDS = Registry(
    "field",
    {
        "voxel": "nerf.voxel.method:VoxelMethod",
        "mlp": "nerf.mlp.method:MlpMethod",
    },
)
