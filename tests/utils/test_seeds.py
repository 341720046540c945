from __future__ import annotations

import torch

from utils.seeds import generator, seed_of


def test_numbers_depend_on_seed_and_name_alone() -> None:
    draw = [
        torch.rand(4, generator=generator(seed, name)).tolist()
        for seed, name in [(0, "a"), (0, "a"), (1, "a"), (0, "b")]
    ]
    assert draw[0] == draw[1] and draw[0] != draw[2] and draw[0] != draw[3]


def test_seeds_are_the_same_on_every_machine() -> None:
    assert seed_of(0, "Burrs/0") == 5590174538309994904
