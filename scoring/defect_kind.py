"""What kind of defect a place shows: another shape, as missing parts and burrs are, or another colour, as stains are.

Two things tell them apart. Where the object's outline differs, its shape does. And a changed shape shows colours that
the object has there anyway, of what lies behind a missing part, or of the part on which a burr has grown, lighter or
darker as the light falls; a stain shows a colour that is new there.
"""

from __future__ import annotations

import torch
from torch import Tensor

from utils.images import is_foreground
from utils.rendering import SOLID, Rendering
from utils.smoothing import largest, smallest, smooth

EDGE = 2  # pixels beside the silhouette by which pose and shape may be off
AROUND, EVERY = 28, 4  # pixels around a place in which its colour may occur, and of which one is looked at
GAIN = (0.55, 1.5)  # by which light may darken or lighten a colour
BLUR = 1.0  # pixels over which colours are smoothed
MOST = 20_000  # places that are looked at, at most


def outline_difference(query: Tensor, reference: Rendering, background: tuple[float, float, float]) -> Tensor:
    """Return where one of query (height, width, 3) and reference shows the object, the other not: (height, width) bool.

    Differences narrower than the edge may be off are left out.
    """
    shown = is_foreground(query, query.new_tensor(background)).to(query.device)
    differs = (shown != (reference.opacity > SOLID)).float()
    return largest(smallest(differs, EDGE), EDGE) > 0


def colour_novelty(query: Tensor, reference: Rendering, where: Tensor) -> Tensor:
    """Return how far a query's colours are from all that the reference shows around, at any brightness.

    Args:
        query: (height, width, 3) RGB in [0, 1].
        where: (height, width) bool, the places of interest.
    Returns:
        (height, width) float32: Euclidean distance in RGB; 0 elsewhere.
    """
    height, width = where.shape
    places = where.nonzero()
    places = places[:: max(1, -(-len(places) // MOST))]
    novelty = torch.zeros(height, width, device=query.device)
    colours, palette = smooth(query, BLUR), smooth(reference.colour, BLUR)
    wanted = colours[places[:, 0], places[:, 1]]
    nearest = torch.full((len(places),), torch.inf, device=query.device)
    steps = range(-AROUND, AROUND + 1, EVERY)
    for down in steps:
        for across in steps:
            rows = (places[:, 0] + down).clamp(0, height - 1)
            columns = (places[:, 1] + across).clamp(0, width - 1)
            nearest = torch.minimum(nearest, distance_at_any_brightness(wanted, palette[rows, columns]))
    novelty[places[:, 0], places[:, 1]] = nearest
    return novelty


def distance_at_any_brightness(colours: Tensor, others: Tensor) -> Tensor:
    """Return the distances (places,) of ``colours`` from ``others`` (places, 3), made lighter or darker to fit.

    >>> red, pink = torch.tensor([[0.8, 0.0, 0.0]]), torch.tensor([[0.8, 0.4, 0.4]])
    >>> [round(float(distance_at_any_brightness(red, other)), 3) for other in (red, 0.7 * red, pink)]
    [0.0, 0.0, 0.462]
    """
    gain = (colours * others).sum(-1) / others.square().sum(-1).clamp(min=1e-6)
    return (colours - gain.clamp(*GAIN)[:, None] * others).norm(dim=-1)
