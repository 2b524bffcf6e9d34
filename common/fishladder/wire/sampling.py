"""Which pictures are analysed, as a pure function of a unit's own times: whoever asks again gets the same answer,
so a worker that takes a camera over picks exactly the frames its predecessor would have.
"""


def chosen(pts_us: int, duration_us: int, fps: float | None) -> bool:
    """Whether the picture shown at `pts_us` is analysed at `fps` pictures a second.

    Time is cut into slots of 1/fps; a picture is chosen if it is the first in its slot, that is if the picture
    before it (`duration_us` earlier) lies in another slot. `fps` None or an unknown
    duration (0) choose every one.
    """
    if fps is None or duration_us <= 0:
        return True
    period_us = 1_000_000 / fps
    return pts_us // period_us != (pts_us - duration_us) // period_us
