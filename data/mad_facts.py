"""What is known of MAD: names, numbers of pictures, cameras (arXiv:2310.07716 and the README of its code)."""

from __future__ import annotations

from dataclasses import dataclass

CLASSES = tuple(
    """
    01Gorilla 02Unicorn 03Mallard 04Turtle 05Whale 06Bird 07Owl 08Sabertooth 09Swan 10Sheep
    11Pig 12Zalika 13Pheonix 14Elephant 15Parrot 16Cat 17Scorpion 18Obesobeso 19Bear 20Puppy
    """.split()
)
DEFECTS = ("Burrs", "Missing", "Stains")


@dataclass(frozen=True)
class Structure:
    """What a data set should look like; None where its authors do not say."""

    title: str
    classes: tuple[str, ...] | None  # folder names
    class_count: int | None
    train: int | None  # normal views of each class, exactly
    about: tuple[int, int] | None  # normal views and queries of each class, roughly
    size: tuple[int, int] | None  # width and height of each picture
    defects: tuple[str, ...]  # kinds of which queries are there, besides good
    posed: bool  # whether each class has a transforms.json


STRUCTURES = {
    "mad-sim": Structure("MAD-Sim", CLASSES, 20, 210, None, (800, 800), DEFECTS, True),
    "mad-real": Structure("MAD-Real", None, 10, None, (49, 32), None, (), False),
    "any": Structure("MAD layout", None, None, None, None, None, (), True),
}
