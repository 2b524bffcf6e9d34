"""Makes a worker's decoder crash, natively, on units that carry a mark, as long as a file says so: what a unit does
that exploits a fault of a codec. In workers' PYTHONPATH, so that it is in their children as well.
"""

import importlib.abc
import importlib.machinery
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

MARK = b"fishladder-chaos-poison"
_MODULE = "fishladder.inference.libav"
_POISON = os.environ.get("CHAOS_POISON", "")


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> object:
        if name != _MODULE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            decode = module.Decoder.decode

            def crashing(self: object, payload: bytes, token: int) -> object:
                if MARK in payload and Path(_POISON).exists():
                    os.abort()
                return decode(self, payload, token)

            module.Decoder.decode = crashing

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


if _POISON:
    sys.meta_path.insert(0, _Finder())
