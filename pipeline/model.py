"""The method, composed once: each box of the paper's figure is a line of ``Model.detect_image``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from data.automatic_masks import network_mask
from data.import_options import AUTO
from data.lens import Lens
from data.saliency import Saliency, load_saliency
from evaluation.results import verdict_at
from inerf.judge import Refinement
from inerf.video import write_video
from nerf.fields import load_any_field
from pipeline.config import Config, config_text, read_config
from pipeline.methods import refinement_method, run_context
from pipeline.photos import Mask, PhotoReader, find_photos
from pipeline.query_masks import TEMPLATES, Silhouette, cut_out, judged_part, masks_of, with_margin
from pipeline.record import FILE, STEP_FILES, TrainingRecord, check_trained
from retrieval.galleries import Gallery, load_gallery
from retrieval.templates import Templates
from scoring.regions import Region, find_regions
from scoring.scorers import Comparison, Scorer, compare_seen, load_scorer
from utils.camera import Intrinsics
from utils.checkpoint import as_checkpoint, ensure_writable, write_text
from utils.errors import InputError
from utils.exposure import match_exposure, match_renderer, undo_disturbance
from utils.images import to_bytes
from utils.progress import Stopwatch
from utils.rendering import Field, Rendering
from utils.run_context import RunContext


@dataclass(frozen=True)
class Detection:
    """The verdict on one image, and what led to it."""

    name: str
    verdict: str  # "good" or "defective": anomaly_score against the stored threshold
    anomaly_score: float  # largest value of the anomaly map
    threshold: float
    p_value: float  # probability that a good image scores at least as much
    anomaly_map: Tensor  # (height, width) float32, 0 or more
    reference: Tensor  # (height, width, 3) float32 RGB in [0, 1]: the anomaly-free object at `pose`
    pose: Tensor  # (4, 4) float32 camera_to_world
    pose_found: bool  # whether the object, seen from `pose`, explains the image
    pose_confidence: float | None  # in [0, 1], halved where two poses explain the image; None where it was given
    regions: tuple[Region, ...] = ()  # connected regions above the threshold, the most anomalous first
    stage_seconds: dict[str, float] = field(default_factory=dict)
    seen_share: float | None = None  # share of the object's pixels that a training view showed; None where not known
    unseen: Tensor | None = None  # (height, width) bool: where none did and nothing is judged; None for nowhere

    @property
    def seconds(self) -> float:
        """Seconds of all stages."""
        return sum(self.stage_seconds.values())


@dataclass(frozen=True)
class Explanation:
    """The anomaly-free object at a pose, and what of the query it does not explain."""

    camera_to_world: Tensor  # (4, 4) float32
    reference: Rendering
    anomaly_map: Tensor  # (height, width) float32, 0 or more
    anomaly_score: float  # its largest value


@dataclass(frozen=True)
class ReferenceModel:
    """The anomaly-free object, which can be rendered at the pose of any image of it."""

    config: Config
    intrinsics: Intrinsics  # of the working images
    context: RunContext
    field: Field
    gallery: Gallery

    @property
    def device(self) -> torch.device:
        """Where field and gallery are."""
        return self.context.device

    def locate(self, query: Tensor, name: str, clock: Stopwatch | None = None) -> Refinement:
        """Find the pose of a query: retrieve coarse poses, then refine them.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            name: with the seed it fixes every random choice.
            clock: adds up the seconds of both stages.
        """
        clock = clock or Stopwatch(self.device)
        with clock.stage("retrieve"):
            coarse_poses = self.gallery.retrieve(query, self.intrinsics, self.config.retrieval.hypotheses)
        with clock.stage("refine"):
            renderer = match_renderer(self.field, query, self.config.background_rgb)
            method = refinement_method(self.config)
            found = method.refine(query, name, coarse_poses, self.intrinsics, renderer, self.context)
        if self.config.inerf.save_video:
            path = self.config.result_dir / name / "video.gif"
            write_video(path, query, found.pose_history, self.intrinsics, renderer.render)
        return found

    def reference(self, query: Tensor, pose: Tensor, rendering: Rendering | None = None, without: int = 0) -> Rendering:
        """Render the anomaly-free object at ``pose`` (4, 4), exposed as ``query`` is where exposures vary.

        Args:
            query: (height, width, 3) float32 RGB in [0, 1], of the size of ``intrinsics``.
            pose: camera_to_world.
            rendering: the field's own, where the pose search has made it at ``pose``.
            without: nearest training views that are not looked at.
        """
        if self.field.exposure_varies:  # then the search has changed its colours
            rendering = None
        rendering = self.field.render_reference(pose.to(self.device), self.intrinsics, rendering, without)
        return match_exposure(rendering, query, self.config.background_rgb) if self.field.exposure_varies else rendering

    def explain(
        self, query: Tensor, found: Refinement, comparison: Comparison, clock: Stopwatch | None = None
    ) -> Explanation:
        """Compare a query with the reference at the pose found; where there is a rival, the milder comparison counts.

        Args:
            query: as ``condition`` returns it.
            found: what ``locate`` returned.
            comparison: gives map and score.
            clock: adds up the seconds of rendering and comparing.
        """
        clock = clock or Stopwatch(self.device)
        poses = [found] if found.rival is None else [found, found.rival]
        each = (self.compare_at(query, one.camera_to_world, comparison, clock, one.rendering) for one in poses)
        return min(each, key=lambda explanation: explanation.anomaly_score)

    def compare_at(
        self,
        query: Tensor,
        pose: Tensor,
        comparison: Comparison,
        clock: Stopwatch,
        rendering: Rendering | None = None,
    ) -> Explanation:
        """Compare a query with the reference at ``pose`` (4, 4); see ``explain`` and ``reference``."""
        with clock.stage("render"):
            reference = self.reference(query, pose, rendering)
        with clock.stage("compare"):
            return Explanation(pose, reference, *compare_seen(comparison, query, reference))

    def condition(self, query: Tensor) -> Tensor:
        """Move a query to the device, with the brightness and noise level of the training views restored."""
        return undo_disturbance(query.to(self.device), self.config.background_rgb)


@dataclass(frozen=True)
class Model(ReferenceModel):
    """A trained object.

    >>> model = Model.load("ckpts/pump")  # doctest: +SKIP
    >>> model.detect("photo.jpg").verdict  # doctest: +SKIP
    'defective'
    """

    scorer: Scorer
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

    def detect(self, image: str | Path | np.ndarray | Image.Image, mask: Mask = None, name: str = "") -> Detection:
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
        automatic = isinstance(mask, (str, Path)) and Path(mask) == AUTO
        mask = None if automatic else mask
        if isinstance(image, (str, Path)):
            name, query = name or Path(image).stem, self.photos.read(Path(image), mask)
        else:
            query = self.photos.prepare(np.asarray(image), mask, name or "the image")
        name = name or "image"
        return self.detect_uncut(query, name)[0] if automatic else self.detect_image(query, name)

    def detect_all(self, folder: str | Path, masks: str | Path | None = None) -> Iterator[Detection]:
        """Detect defects in every image of a folder and the folders in it, in natural order of their names.

        Args:
            folder: PNG and JPEG files.
            masks: a folder with ``NAME.png`` for each ``NAME.jpg``, or "auto", as for ``detect``.
        """
        for name, path in find_photos([Path(folder)]).items():
            yield self.detect(path, masks, name)

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
        """Write the trained object into ``folder``, from where ``load`` reads it."""
        folder = Path(folder)
        ensure_writable(folder)
        self.field.save(folder / STEP_FILES["field"])
        self.gallery.save(folder / STEP_FILES["gallery"])
        self.scorer.save(folder / STEP_FILES["calibration"])
        write_text(folder / "config.txt", config_text(self.config))
        self.record.write(folder)


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
    paths = {step: folder / name for step, name in STEP_FILES.items()}
    with as_checkpoint(paths["field"]):
        trained_field = load_any_field(paths["field"], context.device)
    with as_checkpoint(paths["gallery"]):
        gallery = load_gallery(paths["gallery"], config.retrieval, context)
    with as_checkpoint(paths["calibration"]):
        scorer = load_scorer(paths["calibration"], config.score, context)
    return Model(config, camera, context, trained_field, gallery, scorer, record)
