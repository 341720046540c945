"""The methods of retrieving coarse poses by name."""

from utils.registry import Registry

RETRIEVALS = Registry(
    "retrieval",
    {
        "thumbnails": "retrieval.thumbnail_gallery:Thumbnails",
        "resnet50": "retrieval.networks:ResNet50Retrieval",
        "efficientnet_b4": "retrieval.networks:EfficientNetRetrieval",
        "loftr": "retrieval.networks:LoftrRetrieval",
    },
)
