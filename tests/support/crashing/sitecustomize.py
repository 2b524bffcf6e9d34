"""Makes a worker crash, natively, as long as a file says so: its decoder on units that carry a mark, which is what a
unit does that exploits a fault of a codec, or its model on the picture of `clips.scene` that it is told. In workers'
PYTHONPATH, so that it is in their children as well.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

MARK = b"fishladder-chaos-poison"
_ARMED = Path(os.environ.get("CHAOS_POISON", "/nonexistent"))
_PICTURE = int(os.environ.get("CHAOS_POISON_PICTURE", "-1"))


def _decoder(module: Any) -> None:
    decode = module.Decoder.decode

    def crashing(self: object, payload: bytes, token: int) -> object:
        if _PICTURE < 0 and MARK in payload and _ARMED.exists():
            os.abort()
        return decode(self, payload, token)

    module.Decoder.decode = crashing


def _model(module: Any) -> None:
    prepare = module.Preparer.prepare

    def crashing(self: object, frame: Any) -> object:
        chroma = bytes(frame.planes[1])[: frame.planes[1].width]  # it is flat, so a row tells
        if _PICTURE >= 0 and abs(sum(chroma) / len(chroma) - 90 - _PICTURE % 64) < 0.5 and _ARMED.exists():
            os.abort()
        return prepare(self, frame)

    module.Preparer.prepare = crashing


class _Finder(importlib.abc.MetaPathFinder):
    def __init__(self, module: str, change: Callable[[Any], None]) -> None:
        self._module, self._change = module, change

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> object:
        if name != self._module:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            self._change(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if "CHAOS_POISON" in os.environ:
    sys.meta_path.insert(0, _Finder("fishladder.inference.libav", _decoder))
    sys.meta_path.insert(0, _Finder("fishladder.inference.adapters.picture", _model))
