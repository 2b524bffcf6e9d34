"""What cameras on a link are worth in detections: how many frames are in time, and how good the pictures are."""

from fishladder.loadtest.accuracy.table import Table, cached_table
from fishladder.loadtest.report.summary import LinkAnswer
from fishladder.loadtest.scenario import Scenario


def what_the_last_costs(scenario: Scenario, said: LinkAnswer) -> str:
    """A sentence; one that says how to get it where accuracy has not been measured on this machine."""
    table = cached_table()
    if table is None:
        return "Run `fishladder loadtest accuracy` once, and this says what the last camera costs in detections."
    beyond = said.failing or said.passing + 1
    after = worth(scenario, said, table, beyond)
    if after is None:
        return ""
    f1 = table.f1_at(scenario.camera_at(max(said.passing, 1)))
    before = worth(scenario, said, table, said.passing) if said.passing else 0.0
    if before is None:
        return ""
    gain, due = after - before, (beyond - said.passing) * f1
    change = f"costs {-gain:.1f}" if gain < 0 else f"adds {gain:.1f} instead of {due:.1f}"
    if not said.passing:
        return f"In detections: one camera is worth {after:.2f} of one that the model sees uncompressed and in time."
    return (
        f"In detections (F1 {f1:.2f} of the source at this rate, measured on {' and '.join(table.clips)}): "
        f"{said.passing} cameras are worth {before:.1f} uncompressed ones, {beyond} are worth {after:.1f}. "
        f"What comes after camera {said.passing} {change}."
    )


def worth(scenario: Scenario, said: LinkAnswer, table: Table, cameras: int) -> float | None:
    """Cameras' worth of detections: cameras x the worst one's decodable fraction x F1 at their rate."""
    point = next((point for point in said.curve if point.cameras == cameras), None)
    if point is None:
        return None
    return cameras * point.mean * table.f1_at(scenario.camera_at(cameras))
