"""The network that takes a photo's foreground: U2-Net small (Qin et al., Pattern Recognition 2020), by OpenCV."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from utils.errors import InputError
from utils.weights import U2NETP_NAME, Weights, obtain

Saliency = Callable[[np.ndarray], np.ndarray]  # (height, width, 3) uint8 RGB to (height, width) float32 in [0, 1]
SIDE = 320  # pixels of the network's input, which is square
MEAN, DEVIATION = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])  # of ImageNet's colours
OUTPUT = 0  # of the seven outputs, the one that joins the others


def load_saliency(weights: Weights) -> Saliency:
    """Return the network as a function of an image.

    Raises:
        InputError: where its file is neither on this machine nor to be had.
    """
    return saliency_of(obtain(U2NETP_NAME, weights))


def saliency_of(path: Path) -> Saliency:
    """Return the network in the ONNX file ``path`` as a function of an image."""
    try:
        network = cv2.dnn.readNetFromONNX(str(path))
    except cv2.error as error:
        raise InputError(f"{path} cannot be read as a network ({error.err}); delete it, and fetch it again.") from None
    output = sorted(network.getUnconnectedOutLayersNames(), key=int)[OUTPUT]

    def saliency(image: np.ndarray) -> np.ndarray:
        network.setInput(network_input(image))
        found = network.forward(output)[0, 0]
        low, high = float(found.min()), float(found.max())
        return cv2.resize((found - low) / max(high - low, 1e-6), (image.shape[1], image.shape[0]))

    return saliency


def network_input(image: np.ndarray) -> np.ndarray:
    """Return an image (height, width, 3) uint8 as the network was trained with: (1, 3, SIDE, SIDE) float32."""
    small = cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32)
    normal = (small / max(float(small.max()), 1e-6) - MEAN) / DEVIATION
    return np.ascontiguousarray(normal.transpose(2, 0, 1)[None], dtype=np.float32)
