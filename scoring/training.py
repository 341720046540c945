"""Training of the comparator on pairs of query and reference with known masks."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from scoring.channels import cropped_channels
from scoring.comparator import Comparator, make_layers
from utils.progress import Progress
from utils.rendering import Rendering

PATCH_SIDE = 176  # pixels of a training patch, at most
PATCHES_PER_STEP = 2
LEARNING_RATE, WEIGHT_DECAY = 3e-3, 1e-4
GOOD_WEIGHT = 20.0  # of the mean loss over good pixels
DEFECT_WEIGHT = 0.5  # of the mean loss over defective pixels
PATCH_WEIGHT = 0.5  # of the loss of the whole patch
TOP_PIXELS = 6  # whose mean logit is the logit of the whole patch


@dataclass(frozen=True)
class TrainingExample:
    """One query with its reference, cropped to the object."""

    channels: Tensor  # (CHANNEL_COUNT, height, width) float16
    mask: Tensor  # (height, width) float32, 1 where defective

    @staticmethod
    def of(query: Tensor, reference: Rendering, mask: Tensor | None) -> TrainingExample:
        """Prepare a query (height, width, 3) with its reference and mask (height, width), None if it is good."""
        crop, channels = cropped_channels(query, reference)
        cropped_mask = torch.zeros(channels.shape[1:]) if mask is None else crop.of(mask).float()
        return TrainingExample(channels.half(), cropped_mask)


def train_comparator(examples: list[TrainingExample], steps: int, seed: int, progress: Progress) -> Comparator:
    """Train a comparator by AdamW with one cycle of the learning rate (arXiv:1708.07120) over ``steps`` steps."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = make_layers()
    optimiser = torch.optim.AdamW(layers.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=steps, pct_start=0.1)
    with progress.bar("comparator", steps) as bar:
        for _ in range(steps):
            loss = torch.zeros(())
            for _ in range(PATCHES_PER_STEP):
                example = examples[random_index(len(examples), generator)]
                channels, mask = augment_patch(*random_patch(example, generator), generator)
                loss = loss + patch_loss(layers(channels[None])[0, 0], mask)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            bar.update()
            bar.set_postfix_str(f"loss {loss.item():.3f}")
    return Comparator.of(layers.state_dict())


def random_index(count: int, generator: torch.Generator) -> int:
    """Draw an integer from 0 to ``count`` - 1."""
    return int(torch.randint(count, (1,), generator=generator))


def random_patch(example: TrainingExample, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Draw a patch (channels, h, w) and its mask; of a defective example, nine in ten contain a defective pixel."""
    height, width = example.mask.shape
    tall, wide = min(height, PATCH_SIDE), min(width, PATCH_SIDE)
    top, left = random_index(height - tall + 1, generator), random_index(width - wide + 1, generator)
    defective = example.mask.nonzero()
    if len(defective) and random_index(10, generator):
        row, column = defective[random_index(len(defective), generator)].tolist()
        top = min(max(row - random_index(tall, generator), 0), height - tall)
        left = min(max(column - random_index(wide, generator), 0), width - wide)
    part = (slice(top, top + tall), slice(left, left + wide))
    return example.channels[:, part[0], part[1]].float(), example.mask[part]


def augment_patch(channels: Tensor, mask: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Mirror and transpose at random and permute RGB, so that the comparator does not depend on colours."""
    for axis in (0, 1):
        if random_index(2, generator):
            channels, mask = channels.flip(axis + 1), mask.flip(axis)
    if random_index(2, generator):
        channels, mask = channels.transpose(1, 2), mask.T
    order = torch.randperm(3, generator=generator)
    return torch.cat([channels[order], channels[3:11], channels[11 + order], channels[14:]]).contiguous(), mask


def patch_loss(logits: Tensor, mask: Tensor) -> Tensor:
    """Sum the cross-entropies of good pixels, of defective pixels, and of the patch by its largest logits."""
    losses = functional.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    loss = GOOD_WEIGHT * (losses * (1 - mask)).mean()
    count = mask.sum()
    candidates = logits.flatten()
    if count > 0:
        loss = loss + DEFECT_WEIGHT * (losses * mask).sum() / count
        candidates = logits[mask > 0]
    patch_logit = candidates.topk(min(TOP_PIXELS, len(candidates))).values.mean()
    return loss + PATCH_WEIGHT * functional.binary_cross_entropy_with_logits(patch_logit, (count > 0).float())
