"""What the service answers, described for OpenAPI."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

EXAMPLE_ID = "20261130T120000123456-0123abcd"
State = Literal["queued", "running", "done", "failed"]
Verdict = Literal["good", "defective"]


class Answer(BaseModel):
    """Any answer; fields that a newer version adds are passed on."""

    model_config = ConfigDict(extra="allow")


class Region(Answer):
    """One connected region of a photo above the threshold."""

    left: int = Field(description="pixels of the heat map", examples=[120])
    top: int = Field(examples=[64])
    width: int = Field(examples=[14])
    height: int = Field(examples=[9])
    area: int = Field(description="pixels", examples=[97])
    anomaly_score: float = Field(description="its largest anomaly", examples=[1.31])
    p_value: float = Field(description="probability that a good photo scores as much anywhere", examples=[0.004])
    length: float | None = Field(description="diagonal of its box on the object, scene units", examples=[0.21])


class ViewLinks(Answer):
    """Addresses of a photo's files."""

    photo: str | None = Field(
        None, description="as it was sent", examples=[f"/results/{EXAMPLE_ID}/files/photos/left.jpg"]
    )
    heat_map: str | None = Field(None, examples=[f"/results/{EXAMPLE_ID}/files/found/left_heat.png"])
    reference: str | None = Field(
        None,
        description="the good object at the same pose",
        examples=[f"/results/{EXAMPLE_ID}/files/found/left_reference.png"],
    )


class Links(ViewLinks):
    """Addresses that belong to a result."""

    self: str = Field(examples=[f"/results/{EXAMPLE_ID}"])
    page: str | None = Field(
        None, description="page of a part", examples=[f"/results/{EXAMPLE_ID}/files/found/A17/part.html"]
    )


class View(Answer):
    """One photo of a part."""

    name: str = Field(examples=["left.jpg"])
    counted: bool = Field(
        description="whether it counts: its pose was found, and it is no copy of another", examples=[True]
    )
    verdict: Verdict
    anomaly_score: float
    p_value: float
    pose_found: bool
    camera_to_world: list[list[float]] = Field(description="the pose, (4, 4), OpenGL axes")
    links: ViewLinks


class Defect(Answer):
    """One defect on the surface of a part, with its place, extent and the photos that show it."""


class Result(Answer):
    """The verdict on a photo or a part, or how far it is."""

    id: str = Field(description="sorts by time of acceptance", examples=[EXAMPLE_ID])
    state: State = Field(examples=["done"])
    kind: Literal["photo", "part"] = Field(examples=["photo"])
    object_name: str = Field(examples=["pump"])
    name: str | None = Field(None, description="what the sender calls the part", examples=["A17"])
    photos: list[str] = Field(description="names of the photos as they were sent", examples=[["left.jpg"]])
    received: str = Field(description="UTC", examples=["2026-11-30T12:00:00Z"])
    finished: str | None = Field(None, description="UTC", examples=["2026-11-30T12:00:01Z"])
    verdict: Verdict | None = Field(None, description="the score against the threshold of training", examples=["good"])
    anomaly_score: float | None = Field(None, examples=[0.41])
    threshold: float | None = Field(None, examples=[0.9])
    p_value: float | None = Field(None, description="probability that a good one scores as much", examples=[0.35])
    pose_found: bool | None = Field(
        None, description="whether the object explains the photo; without it, do not trust the verdict", examples=[True]
    )
    pose_confidence: float | None = Field(None, description="0 to 1", examples=[0.97])
    seen_share: float | None = Field(None, description="share of what it shows that training has seen", examples=[1.0])
    camera_to_world: list[list[float]] | None = Field(None, description="the pose, (4, 4), OpenGL axes")
    regions: list[Region] | None = Field(None, description="of a photo, the most anomalous first")
    seen_twice_share: float | None = Field(None, description="share of a part's surface that two photos show or more")
    defects: list[Defect] | None = Field(None, description="of a part, the most anomalous first")
    next_view: dict[str, Any] | None = Field(None, description="where to photograph a part next; null: nowhere")
    views: list[View] | None = Field(None, description="each photo of a part")
    remark: str | None = Field(None, description="what must not be left out, as that random weights were used")
    seconds: float | None = Field(None, examples=[0.15])
    stage_seconds: dict[str, float] | None = Field(None, examples=[{"retrieve": 0.02, "refine": 0.09}])
    error: str | None = Field(None, description="one sentence, where it could not be judged")
    confirmed_good: int | None = Field(
        None, description="number of the change, where somebody has confirmed it as good"
    )
    verdict_at_threshold: Verdict | None = Field(None, description="what another threshold would have said")
    links: Links


class Learned(Answer):
    """A change of what an object has learned."""

    number: int = Field(description="of the change", examples=[3])
    kind: str = Field(examples=["confirm_good"])
    date: str = Field(examples=["2026-11-30T12:00:00Z"])
    before: dict[str, float] = Field(description="figures before it", examples=[{"threshold": 0.9}])
    after: dict[str, float] = Field(description="and after it", examples=[{"threshold": 0.93}])


class Problem(BaseModel):
    """Why a request is refused."""

    detail: str = Field(examples=["There is no object 'pmp'; did you mean pump?"])
    id: str | None = Field(None, description="of the job, where one is stored", examples=[EXAMPLE_ID])
    result: str | None = Field(None, description="where its result will be", examples=[f"/results/{EXAMPLE_ID}"])


class History(BaseModel):
    """Results, the newest first."""

    results: list[Result]
    next_before: str | None = Field(description="give it as before for older ones; null at the end", examples=[None])


class ServedObject(BaseModel):
    """One object that is served."""

    object_name: str = Field(examples=["pump"])
    state: Literal["loading", "ready", "failed"] = Field(examples=["ready"])
    error: str | None = Field(None, description="why it could not be loaded")
    threshold: float | None = Field(None, description="of the anomaly score", examples=[0.9])
    width: int | None = Field(None, description="pixels of the photos that are compared", examples=[400])
    height: int | None = Field(None, examples=[400])


class ServedObjects(BaseModel):
    """All objects that are served."""

    objects: list[ServedObject]


class Health(BaseModel):
    """Whether photos can be judged."""

    ready: bool
    objects: list[ServedObject]
    queue_length: int = Field(description="photos and parts that wait or are being judged", examples=[0])
    version: str = Field(examples=["0.2.0"])


def problems(*codes: int) -> dict[int | str, dict[str, Any]]:
    """Describe error codes for OpenAPI."""
    texts = {
        400: "The request is malformed.",
        401: "The token is missing or wrong.",
        403: "The service was started without --learn, or a page of another site sent it.",
        404: "There is no such object, result or file.",
        409: "The Idempotency-Key was used for something else.",
        413: "A file, an image or the whole request is too large.",
        415: "A file is no image of a format that is read.",
        422: "A file is empty, damaged or of other proportions, or a field is wrong.",
        500: "The program failed at this photo; its log says where.",
        503: "The queue is full, an object is being loaded, or the service ends; Retry-After says when to try again.",
        504: "It takes longer than `max_wait`; the result is stored, and `result` is where.",
        507: "The disk is nearly full.",
    }
    return {code: {"model": Problem, "description": texts[code]} for code in codes}
