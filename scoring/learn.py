"""Training of the comparator on pairs of query and reference with known masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scoring.comparator import Comparator, network
from scoring.features import cropped_features
from utils.progress import Progress
from utils.rendering import Rendering

PATCH = 176  # side in pixels of the patches that are learned from, at most
PATCHES_PER_STEP = 2
NORMAL_WEIGHT = 20.0  # of the mean loss over normal pixels, beside the mean over defective ones
TOP = 6  # pixels whose mean logit stands for a patch


@dataclass(frozen=True)
class Example:
    """One picture to learn from, cut to the object."""

    channels: Tensor  # (CHANNELS, height, width) float16
    mask: Tensor  # (height, width) float32, 1 where defective

    @staticmethod
    def of(query: Tensor, reference: Rendering, mask: Tensor | None) -> Example:
        """The example of a query (height, width, 3), its reference and its mask (height, width), None if normal."""
        crop, channels = cropped_features(query, reference)
        cut = torch.zeros(channels.shape[1:]) if mask is None else crop.of(mask).float()
        return Example(channels.half(), cut)


def learn(examples: list[Example], steps: int, seed: int, progress: Progress) -> Comparator:
    """A comparator trained by AdamW, one cycle of the learning rate (arXiv:1708.07120), for ``steps`` steps."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = network()
    optimiser = torch.optim.AdamW(layers.parameters(), lr=3e-3, weight_decay=1e-4)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps, pct_start=0.1)
    with progress.bar("comparator", steps) as bar:
        for _ in range(steps):
            loss = torch.zeros(())
            for _ in range(PATCHES_PER_STEP):
                example = examples[pick(len(examples), generator)]
                channels, mask = augmented(*patch(example, generator), generator)
                loss = loss + patch_loss(layers(channels[None])[0, 0], mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update()
            bar.set_postfix_str(f"loss {loss.item():.3f}")
    return Comparator.of(layers.state_dict())


def pick(count: int, generator: torch.Generator) -> int:
    """A number below ``count``."""
    return int(torch.randint(count, (1,), generator=generator))


def patch(example: Example, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """A patch of an example; of a defective one nearly always a patch that holds a defective pixel."""
    height, width = example.mask.shape
    tall, wide = min(height, PATCH), min(width, PATCH)
    top, left = pick(height - tall + 1, generator), pick(width - wide + 1, generator)
    defective = example.mask.nonzero()
    if len(defective) and pick(10, generator):
        row, column = defective[pick(len(defective), generator)].tolist()
        top = min(max(row - pick(tall, generator), 0), height - tall)
        left = min(max(column - pick(wide, generator), 0), width - wide)
    part = (slice(top, top + tall), slice(left, left + wide))
    return example.channels[:, part[0], part[1]].float(), example.mask[part]


def augmented(channels: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirrored and transposed at random, and the three colours permuted: the comparator may not know any colour."""
    for axis in (0, 1):
        if pick(2, generator):
            channels, mask = channels.flip(axis + 1), mask.flip(axis)
    if pick(2, generator):
        channels, mask = channels.transpose(1, 2), mask.T
    order = torch.randperm(3, generator=generator)
    return torch.cat([channels[order], channels[3:11], channels[11 + order], channels[14:]]).contiguous(), mask


def patch_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy over defective pixels, over normal pixels, and of the strongest pixels as the patch's verdict."""
    each = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    loss = NORMAL_WEIGHT * (each * (1 - mask)).mean()
    count = mask.sum()
    strongest = logits.flatten()
    if count > 0:
        loss = loss + 0.5 * (each * mask).sum() / count
        strongest = logits[mask > 0]
    verdict = strongest.topk(min(TOP, len(strongest))).values.mean()
    return loss + 0.5 * functional.binary_cross_entropy_with_logits(verdict, (count > 0).float())
