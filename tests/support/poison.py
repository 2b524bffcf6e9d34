"""Units that crash whoever decodes them: a clip carries a mark, a process gets a decoder that aborts on it."""

import os
from pathlib import Path


def crashing_on_picture(index: int, while_exists: Path) -> dict[str, str]:
    """An environment in which the picture `index` of `clips.scene` crashes the process whose model sees it."""
    return crashing_on_marked(while_exists) | {"CHAOS_POISON_PICTURE": str(index)}


def crashing_on_marked(while_exists: Path) -> dict[str, str]:
    """An environment in which `clips.marked` units crash the process that decodes them, as long as a file exists."""
    path = [str(Path(__file__).parent / "crashing"), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {"PYTHONPATH": os.pathsep.join(filter(None, path)), "CHAOS_POISON": str(while_exists)}
