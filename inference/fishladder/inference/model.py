"""Loads an ONNX model and turns pictures into detections with it. What differs between kinds of models is in
`adapters`; decoding, batching and what becomes of detections is the worker's business.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from fishladder.inference.adapters.adapter import Adapter
from fishladder.inference.adapters.boxes import suppress
from fishladder.inference.adapters.choice import choose, choose_fit
from fishladder.inference.adapters.picture import Prepared, Preparer, fed, to_picture
from fishladder.inference.adapters.session import PROVIDERS, Session, open_session
from fishladder.inference.adapters.signature import Input, Signature, class_names, picture_input, read_class_names
from fishladder.wire.errors import ModelError
from fishladder.wire.result import Detection, ModelId

__all__ = ["PROVIDERS", "Detector", "Prepared", "load_detector"]

# Detections are kept as decimal text, and what lies beyond these places is noise of any model.
_COORDINATE_PLACES, _SCORE_PLACES = 5, 4


class Detector(Protocol):
    """A model that is ready. Synchronous and not thread-safe: one for each compute thread."""

    @property
    def model(self) -> ModelId:
        """What goes into results."""

    @property
    def provider(self) -> str:
        """Which provider it runs on, such as `cpu`."""

    @property
    def input_size(self) -> tuple[int, int]:
        """Height and width of the model's input."""

    def prepare(self, frame: av.VideoFrame) -> Prepared:
        """A decoded picture of any size and pixel format, made ready for `infer`. It does not keep `frame`."""

    def infer(self, batch: Sequence[Prepared]) -> list[list[Detection]]:
        """The detections of each prepared picture, best first. On CPU a picture gives the same, bit for bit, in
        whatever batch it comes. Raises `ModelError`.
        """


def load_detector(
    path: Path | str,
    *,
    provider: str = "auto",
    threads: int = 1,
    names: Path | str | None = None,
    score: float = 0.4,
    iou: float = 0.5,
) -> Detector:
    """Load a model and try it on one picture. Raises `ModelError`, naming the file.

    `provider` is one of `PROVIDERS`. `names` is a text file of class names, one a line; else they come from the model's
    metadata. Detections score more than `score`; of two of a class that overlap by more than `iou` the better is kept.
    """
    path = Path(path)
    if not 0 <= score < 1 or not 0 < iou <= 1:
        raise ModelError(f"score {score} and iou {iou}: expected 0 <= score < 1 and 0 < iou <= 1")
    session = open_session(path, provider, threads)
    feed = picture_input(session.signature)
    signature = _measured(session, feed)
    adapter = choose(signature, feed)
    labels = read_class_names(Path(names)) if names is not None else class_names(signature)
    if labels is None:
        raise ModelError(f"model {path} has no class names in its metadata: give a file of them, one a line (--names)")
    if adapter.classes != len(labels):
        raise ModelError(
            f"model {path} has {adapter.classes} classes, but {names or 'its metadata'} names {len(labels)}"
        )
    return _OnnxDetector(
        model=ModelId(path.stem, _sha256(path)),
        session=session,
        feed=feed,
        adapter=adapter,
        preparer=Preparer(feed, choose_fit(signature, adapter)),
        labels=labels,
        score=score,
        iou=iou,
    )


@dataclass(frozen=True, slots=True)
class _OnnxDetector:
    model: ModelId
    session: Session
    feed: Input
    adapter: Adapter
    preparer: Preparer
    labels: list[str]
    score: float
    iou: float

    @property
    def provider(self) -> str:
        return self.session.provider

    @property
    def input_size(self) -> tuple[int, int]:
        return self.feed.height, self.feed.width

    def prepare(self, frame: av.VideoFrame) -> Prepared:
        return self.preparer.prepare(frame)

    def infer(self, batch: Sequence[Prepared]) -> list[list[Detection]]:
        # On a CPU batching gains nothing, and products of matrices of another size may round differently: pictures go
        # one by one there, so that what one gives cannot depend on its neighbours.
        size = 1 if self.provider == "cpu" or self.feed.batch == 1 else max(len(batch), 1)
        found: list[list[Detection]] = []
        for start in range(0, len(batch), size):
            pictures = batch[start : start + size]
            pixels = np.stack([picture.pixels for picture in pictures])
            outputs = self.session.run(self.adapter.outputs, {self.feed.name: fed(pixels, self.feed)})
            found += [self._detections(outputs, index, picture) for index, picture in enumerate(pictures)]
        return found

    def _detections(self, outputs: list[NDArray[Any]], index: int, picture: Prepared) -> list[Detection]:
        boxes = suppress(self.adapter.read(outputs, index, self.score), self.iou)
        corners = np.round(to_picture(boxes.corners, picture.area), _COORDINATE_PLACES)
        scores = np.round(boxes.scores, _SCORE_PLACES)
        return [
            Detection(self.labels[klass], score, x1, y1, x2, y2)
            for klass, score, (x1, y1, x2, y2) in zip(
                boxes.classes.tolist(), scores.tolist(), corners.tolist(), strict=True
            )
            if x1 < x2 and y1 < y2  # not wholly outside the picture
        ]


def _measured(session: Session, feed: Input) -> Signature:
    """The signature with the output shapes one grey picture gives, since models often leave them open.

    Thus a model that cannot run says so when it is loaded, and the first real picture takes no longer than others.
    """
    signature = session.signature
    names = [tensor.name for tensor in signature.outputs]
    grey = np.full((1, feed.height, feed.width, 3), 128, np.uint8)
    results = session.run(names, {feed.name: fed(grey, feed)})
    outputs = tuple(
        # A sequence or a map has no shape, and no adapter takes it.
        replace(tensor, shape=getattr(result, "shape", ()))
        for tensor, result in zip(signature.outputs, results, strict=True)
    )
    return replace(signature, outputs=outputs)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
