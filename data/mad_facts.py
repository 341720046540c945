"""What is known about MAD: names and numbers of images (arXiv:2310.07716 and the README of its code)."""

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
    """Expected structure of a data set; None where its authors do not say."""

    title: str
    classes: tuple[str, ...] | None  # folder names
    class_count: int | None
    train: int | None  # good views of each class, exactly
    about: tuple[int, int] | None  # good views and queries of each class, roughly
    size: tuple[int, int] | None  # width and height of each image
    defects: tuple[str, ...]  # defect types of the queries
    posed: bool  # whether each class has a transforms.json


STRUCTURES = {
    "mad-sim": Structure("MAD-Sim", CLASSES, 20, 210, None, (800, 800), DEFECTS, True),
    "mad-real": Structure("MAD-Real", None, 10, None, (49, 32), None, (), False),
    "any": Structure("MAD layout", None, None, None, None, None, (), True),
}


@dataclass(frozen=True)
class Archive:
    """One of the authors' archives."""

    drive_id: str  # of the file on Google Drive
    file_name: str  # of the downloaded archive
    megabytes: float | None  # published size; None where none is published
    folder: str  # in --out, for the content
    holds: tuple[str, ...]  # name patterns, at least one of which matches at the top of the content
    next_step: str  # command to run next; {folder} is the content's folder

    @property
    def link(self) -> str:
        """Return the page from which a browser downloads the file."""
        return f"https://drive.google.com/file/d/{self.drive_id}/view"


SOURCES = {
    "mad-sim": Archive(
        "1XlW5v_PCXMH49RSKICkskKjd2A5YDMQq",
        "MAD-Sim.zip",
        970.0,
        "LEGO-3D",
        ("*/train",),
        "python -m data verify {folder}",
    ),
    "mad-real": Archive(
        "146sKbkUUFW7xJTG2LGm_OgXjMX3fDNxN",
        "MAD-Real.zip",
        2190.0,
        "MAD-Real",
        ("*/train",),
        "python -m data verify {folder} --expect mad-real",
    ),
    "ckpts": Archive(
        "1MVokoxPQ9CVo0rSxvdRvTj0bqSp-kXze",
        "ckpts.zip",
        None,
        "paper_ckpts",
        ("*.tar",),
        "python anomaly_nerf_lego.py --obj 01Gorilla --config configs/paper.txt --ft_path {folder}/01Gorilla.tar",
    ),
    "retrieval-model": Archive(
        "16FOwaqQE0NGY-1EpfoNlU0cGlHjATV0V",
        "model.zip",
        None,
        "paper_weights",
        ("net_best.pth", "*.ckpt"),
        "give --weights_dir {folder} to training and testing",
    ),
}
