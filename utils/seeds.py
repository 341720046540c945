"""Seeds: every random choice comes from a generator seeded by a name."""

from __future__ import annotations

import hashlib

import torch


def seed_of(seed: int, name: str) -> int:
    """Return a 63-bit seed that depends on ``seed`` and ``name`` alone, the same on every machine.

    >>> seed_of(0, "Burrs/0") == seed_of(0, "Burrs/0") != seed_of(0, "Burrs/1")
    True
    """
    digest = hashlib.blake2b(f"{seed}/{name}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def generator(seed: int, name: str, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a generator seeded from (``seed``, ``name``), so that results depend on no other query."""
    return torch.Generator(device=device).manual_seed(seed_of(seed, name))
