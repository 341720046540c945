"""The method, composed once: each box of the paper's figure is a line of ``Model.detect_image``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from torch import Tensor

from data.automatic_masks import network_mask
from data.lens import Lens
from data.saliency import Saliency, load_saliency
from evaluation.results import verdict_at
from inerf.judge import Refinement
from nerf.fields import load_any_field
from pipeline.config import Config, config_text, read_config
from pipeline.detection import Detection
from pipeline.good_parts import GoodParts
from pipeline.methods import refinement_method, run_context
from pipeline.parts import PartDetection, Shot, judge_shots
from pipeline.photos import Mask, Photo, PhotoReader, find_part, find_photos, masks_found, named_images
from pipeline.query_masks import TEMPLATES, Silhouette, cut_out, judged_part, masks_of, with_margin
from pipeline.record import FILE, STEP_FILES, TrainingRecord, check_trained
from pipeline.reference_model import ReferenceModel
from retrieval.galleries import load_gallery
from retrieval.templates import Templates
from scoring.regions import find_regions
from scoring.scorers import Scorer, load_scorer
from utils.checkpoint import as_checkpoint, ensure_writable, write_text
from utils.errors import InputError
from utils.images import to_bytes
from utils.progress import Stopwatch


@dataclass(frozen=True)
class Model(ReferenceModel):
    """A trained object.

    >>> model = Model.load("ckpts/pump")  # doctest: +SKIP
    >>> model.detect("photo.jpg").verdict  # doctest: +SKIP
    'defective'
    """

    scorer: Scorer
    good_parts: GoodParts
    record: TrainingRecord = field(default_factory=TrainingRecord)

    def detect_image(self, query: Tensor, name: str, pose: Tensor | None = None, pose_found: bool = True) -> Detection:
        """Run the whole method on one image.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            name: of the query; with the seed it fixes every random choice.
            pose: (4, 4) camera_to_world to take instead of searching one.
            pose_found: what the detection says of a pose that is given.
        """
        clock, confidence = Stopwatch(self.device), None
        query, comparison = self.condition(query), self.scorer.comparison
        if pose is None:
            found = self.locate(query, name, clock)
            pose_found, confidence = found.found, found.confidence
            best = self.explain(query, found, comparison, clock)
        else:
            best = self.compare_at(query, pose, comparison, clock)
        threshold, p_value = self.scorer.threshold, self.scorer.p_value
        with clock.stage("compare"):
            regions = find_regions(best.anomaly_map, threshold, p_value, best.reference, self.intrinsics)
        return Detection(
            name=name,
            verdict=verdict_at(best.anomaly_score, threshold),
            anomaly_score=best.anomaly_score,
            threshold=threshold,
            p_value=p_value(best.anomaly_score),
            anomaly_map=best.anomaly_map,
            reference=best.reference.colour,
            pose=best.camera_to_world.cpu(),
            pose_found=pose_found,
            pose_confidence=confidence,
            regions=regions,
            stage_seconds=clock.seconds,
            seen_share=best.reference.seen_share(),
            unseen=best.reference.unseen,
        )

    def detect_uncut(self, photo: Tensor, name: str) -> tuple[Detection, Tensor]:
        """Run the whole method on a photo with a real background and no mask, which is found.

        The network's mask leads to a pose. Where it leads to none, the object's renderings are looked for in the photo,
        and the silhouettes that explain it best become masks. Compared is then what should be the object at the pose
        found, and what the mask has beside it.

        Args:
            photo: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            name: as for ``detect_image``.
        Returns:
            The detection, with the seconds of all runs, and the photo cut out.
        """
        clock = Stopwatch(self.device)
        with clock.stage("mask"):
            network = network_mask(to_bytes(photo), self.saliency) > 0
            mask, found = network, self.locate_cut_out(photo, network, name)
            if not found.found:
                tries = [(each, self.locate_cut_out(photo, each, name)) for each in self.template_masks(photo, name)]
                mask, found = max([(mask, found), *tries], key=lambda one: one[1].confidence)
            shown = found.rendering or self.field.render(found.camera_to_world, self.intrinsics)
            alpha = judged_part(photo, mask, shown.opacity) if found.found else mask
        query = cut_out(photo, alpha, self.config.background_rgb)
        detection = self.detect_image(query, name, found.camera_to_world, found.found)
        seconds = {**clock.seconds, **detection.stage_seconds}
        return replace(detection, pose_confidence=found.confidence, stage_seconds=seconds), query

    def locate_cut_out(self, photo: Tensor, mask: np.ndarray, name: str) -> Refinement:
        """Find the pose of a photo by a mask (height, width) bool of the object."""
        return self.locate(self.condition(cut_out(photo, mask, self.config.background_rgb)), name)

    def template_masks(self, photo: Tensor, name: str) -> list[np.ndarray]:
        """Return masks (height, width) bool of the object in a photo: its silhouettes where it looks most like it."""
        photo, method, silhouettes = photo.to(self.device), refinement_method(self.config), []
        for pose in self.templates.retrieve(photo, TEMPLATES):
            shown = with_margin(Silhouette.of(photo, self.field.render(pose, self.intrinsics)).mask)
            query = self.condition(cut_out(photo, shown, self.config.background_rgb))
            refined = method.refine(query, name, pose[None], self.intrinsics, self.field, self.context)
            rendering = self.field.render(refined.camera_to_world, self.intrinsics)
            silhouettes.append(Silhouette.of(photo, rendering))
        return masks_of(photo, silhouettes)

    @cached_property
    def templates(self) -> Templates:
        """What the object looks like from the gallery's poses."""
        return Templates.build(self.gallery.camera_to_world, self.intrinsics, self.field.render, self.device)

    def detect(self, image: Photo, mask: Mask = None, name: str = "") -> Detection:
        """Detect defects in one image of the object.

        Args:
            image: a file, (height, width, 3 or 4) uint8 or float in [0, 1], or a PIL image; as the training views
                were taken, from any pose. A photo of the size that the camera wrote is undistorted first.
            mask: of the object, a file or (height, width), 255 or True = object; needed where the background is real.
                "auto": a network finds it, the pose corrects it.
            name: names the image in the detection; by default the file's stem.
        Raises:
            FileNotFoundError, InputError: for an image that is missing, damaged or of other proportions.
        """
        query, automatic = self.read_photo(image, mask, name)
        name = name or (Path(image).stem if isinstance(image, (str, Path)) else "image")
        return self.detect_uncut(query, name)[0] if automatic else self.detect_image(query, name)

    def read_photo(self, image: Photo, mask: Mask, name: str) -> tuple[Tensor, bool]:
        """Read an image as ``detect`` takes it; return it with whether its mask is to be found."""
        automatic = masks_found(mask)
        mask = None if automatic else mask
        if isinstance(image, (str, Path)):
            return self.photos.read(Path(image), mask), automatic
        return self.photos.prepare(np.asarray(image), mask, name or "the image"), automatic

    def detect_all(self, folder: str | Path, masks: str | Path | None = None) -> Iterator[Detection]:
        """Detect defects in every image of a folder and the folders in it, in natural order of their names.

        Args:
            folder: PNG and JPEG files.
            masks: a folder with ``NAME.png`` for each ``NAME.jpg``, or "auto", as for ``detect``.
        """
        for name, path in find_photos([Path(folder)]).items():
            yield self.detect(path, masks, name)

    def detect_part(
        self,
        photos: str | Path | Sequence[Photo],
        masks: str | Path | Sequence[Mask] | None = None,
        name: str = "",
    ) -> PartDetection:
        """Judge one specimen by several photos of it.

        Args:
            photos: a folder, or images as ``detect`` takes them; from different sides.
            masks: a folder with ``NAME.png`` for each ``NAME.jpg``, or "auto", or a mask for each of several images.
            name: of the specimen; by default the folder's.
        Raises:
            FileNotFoundError, InputError: as ``detect``; where there are no photos, or no pose of any is found.
        """
        images: dict[str, Photo] = {}
        if isinstance(photos, (str, Path)):
            name = name or Path(photos).resolve().name
            images.update(find_part(Path(photos)))
        else:
            images.update(named_images(photos))
        each = list(masks) if isinstance(masks, Sequence) and not isinstance(masks, str) else [masks] * len(images)
        if len(each) != len(images):
            raise InputError(f"{len(images)} photos need as many masks, found {len(each)}; give one for each.")
        taken = [self.shoot(image, mask, key) for (key, image), mask in zip(images.items(), each)]
        return self.judge_shots(taken, name or "the part")

    def shoot(self, image: Photo, mask: Mask, name: str) -> Shot:
        """Detect defects in one photo of a part; see ``detect``."""
        query, automatic = self.read_photo(image, mask, name)
        if automatic:
            detection, query = self.detect_uncut(query, name)
        else:
            detection = self.detect_image(query, name)
        rendering = self.field.render(detection.pose.to(self.device), self.intrinsics)
        return Shot(detection, self.condition(query), rendering, self.config.background_rgb)

    def judge_shots(self, taken: Sequence[Shot], name: str) -> PartDetection:
        """Judge one specimen by what ``shoot`` returned of each photo; see ``detect_part``."""
        return judge_shots(name, taken, self.good_parts, self.intrinsics, self.config.score.false_positive_rate)

    @cached_property
    def saliency(self) -> Saliency:
        """The network that finds masks."""
        return load_saliency(self.context.weights)

    @cached_property
    def photos(self) -> PhotoReader:
        """Reads images as the camera of the training views would have taken them."""
        entry = self.record.photo_camera
        lens = None if entry is None else Lens.from_entry(entry, str(self.config.checkpoint_dir / FILE))
        return PhotoReader(self.config, self.intrinsics, lens)

    @staticmethod
    def load(folder: str | Path, device: str = "auto") -> Model:
        """Load a trained object.

        Args:
            folder: what training wrote, as in ``ckpts/pump``.
            device: "auto", "cpu" or "cuda".
        Raises:
            FileNotFoundError, InputError: where training is missing, unfinished or damaged.
        """
        folder = Path(folder)
        check_there(folder)
        config = replace(read_config(folder / "config.txt"), device=device)  # type: ignore[arg-type]
        return load_model(replace(config, object_name=folder.resolve().name, ckpt_dir=str(folder.resolve().parent)))

    def save(self, folder: str | Path) -> None:
        """Write the trained object into ``folder``, from where ``load`` reads it, without the history of learning."""
        folder = Path(folder)
        ensure_writable(folder)
        self.field.save(folder / STEP_FILES["field"])
        self.gallery.save(folder / STEP_FILES["gallery"])
        self.scorer.save(folder / STEP_FILES["calibration"])
        self.good_parts.save(folder / STEP_FILES["parts"])
        write_text(folder / "config.txt", config_text(self.config))
        replace(self.record, learned=0, files={}, photos=[]).write(folder)


def check_there(folder: Path) -> None:
    """Raise an InputError unless ``folder`` holds a trained object."""
    if not (folder / "config.txt").is_file():
        raise InputError(f"There is no trained object in {folder}; run anomaly_nerf_lego.py --obj {folder.name} first.")


def load_model(config: Config) -> Model:
    """Load the trained object that the settings name.

    Raises:
        InputError: where it is missing, unfinished, or was trained with other settings.
    """
    folder, context = config.checkpoint_dir, run_context(config)
    check_there(folder)
    record = TrainingRecord.read(folder)
    trained_with = read_config(folder / "config.txt")
    with as_checkpoint(folder / FILE):
        check_trained(config, trained_with, record)
        camera = record.camera()
        paths = {step: record.file(step, folder) for step in STEP_FILES}
    with as_checkpoint(paths["field"]):
        trained_field = load_any_field(paths["field"], context.device)
    with as_checkpoint(paths["gallery"]):
        gallery = load_gallery(paths["gallery"], config.retrieval, context)
    with as_checkpoint(paths["calibration"]):
        scorer = load_scorer(paths["calibration"], config.score, context)
    with as_checkpoint(paths["parts"]):
        good_parts = GoodParts.load(paths["parts"])
    return Model(config, camera, context, trained_field, gallery, scorer, good_parts, record)
