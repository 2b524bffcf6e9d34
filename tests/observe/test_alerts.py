"""How long what each alert is about has to last, in true time, as Prometheus' own tool has it: it fires for series as
its cause makes them, not before its `for` is over, and none fires for those of a healthy system. That the causes do
make them is test_alerts_caused's.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from support.installed import PROMTOOL, needs_prometheus
from support.observed import RULES, rules

pytestmark = needs_prometheus

OPERATING = Path(__file__).parent.parent.parent / "docs" / "operating.md"
CAMERA = '{site="shop-7",camera="door"}'

SETTLED = 'fishladder_fleet_settled_frames_total{site="shop-7",camera="door",group="%s"}'
REFUSED = 'fishladder_gateway_refused_total{reason="token"}'
#: An agent whose token is refused asks again each 30 to 60 s.
ASKS_AGAIN = " ".join(str(10 * step // 45) for step in range(120))

#: What each is fired by, and how long it takes at most.
CAUSES: dict[str, tuple[dict[str, str], str]] = {
    "FishladderSiteDown": ({'fishladder_fleet_site_severity{site="shop-7"}': "0x4 3x20"}, "2m"),
    "FishladderCameraInTrouble": ({f"fishladder_fleet_camera_severity{CAMERA}": "2x30"}, "3m"),
    "FishladderNoWorker": (
        {"fishladder_fleet_workers": "0x20", f"fishladder_fleet_camera_severity{CAMERA}": "0x20"},
        "1m",
    ),
    "FishladderAnalysisBehind": ({f"fishladder_fleet_oldest_pending_seconds{CAMERA}": "5+5x40"}, "4m"),
    "FishladderAccountOpen": ({f"fishladder_fleet_unaccounted_frames{CAMERA}": "-1x20"}, "2m"),
    "FishladderFramesDropped": (
        {
            SETTLED % "dropped": "0+10x120",
            SETTLED % "inferred": "0+90x120",
        },
        "12m",
    ),
    "FishladderSpoolFilling": ({'fishladder_fleet_spool_ratio{site="shop-7"}': "0.85x20"}, "2m"),
    "FishladderGatewayNotReady": ({"fishladder_gateway_ready": "1x3 0x20"}, "3m"),
    "FishladderNoGateway": ({'up{job="fishladder-gateway",instance="g"}': "1x3 _x20"}, "8m"),
    "FishladderTargetDown": ({'up{job="fishladder-worker",instance="w"}': "0x20"}, "3m"),
    "FishladderStateNotDurable": ({"fishladder_gateway_state_durable": "0x40"}, "6m"),
    "FishladderFrameStoreFull": (
        {"fishladder_gateway_frames_used_bytes": "89x20", "fishladder_gateway_frames_limit_bytes": "100x20"},
        "2m",
    ),
    "FishladderLeasesLost": ({'fishladder_worker_lease_moves_total{how="lost"}': "0x10 1x10"}, "4m"),
    "FishladderTokensRefused": ({REFUSED: ASKS_AGAIN}, "9m"),
    "FishladderSinkBehind": ({'fishladder_sink_lag_seconds{sink="alarms"}': "0+10x40"}, "5m"),
    "FishladderSinkDown": ({'fishladder_fleet_sink_severity{sink="alarms"}': "0x4 3x20"}, "3m"),
    "FishladderSinkMissed": ({'fishladder_sink_missed_total{sink="alarms"}': "0x10 3x10"}, "4m"),
}
HEALTHY = {
    'fishladder_fleet_site_severity{site="shop-7"}': "0x120",
    f"fishladder_fleet_camera_severity{CAMERA}": "0x60 1x60",
    "fishladder_fleet_workers": "1x120",
    f"fishladder_fleet_oldest_pending_seconds{CAMERA}": "0.2x120",
    f"fishladder_fleet_unaccounted_frames{CAMERA}": "0x120",
    SETTLED % "dropped": "5x120",
    SETTLED % "inferred": "0+50x120",
    'fishladder_fleet_spool_ratio{site="shop-7"}': "0.1x120",
    "fishladder_gateway_ready": "1x120",
    'up{job="fishladder-gateway",instance="g"}': "1x120",
    'up{job="fishladder-worker",instance="w"}': "1x120",
    "fishladder_gateway_state_durable": "1x120",
    "fishladder_gateway_frames_used_bytes": "50x120",
    "fishladder_gateway_frames_limit_bytes": "100x120",
    'fishladder_worker_lease_moves_total{how="lost"}': "2x120",
    'fishladder_worker_lease_moves_total{how="took"}': "0+1x120",
    REFUSED: "0x30 5x90",  # somebody has mistyped it
    'fishladder_fleet_sink_severity{sink="alarms"}': "2x120",
    'fishladder_sink_lag_seconds{sink="alarms"}': "1x120",
    'fishladder_sink_missed_total{sink="alarms"}': "0x120",
}


def a_test(series: dict[str, str], at: str, asked: str, expected: int) -> dict[str, Any]:
    samples = [{"value": expected}] if expected else []
    return {
        "interval": "10s",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": f"count({asked})", "eval_time": at, "exp_samples": samples}],
    }


def promtool(place: Path, *tests: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    assert PROMTOOL is not None
    file = place / "tests.yaml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "10s", "tests": list(tests)}))
    return subprocess.run([PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True)


def a_moment_before(duration: str) -> str:
    count, unit = int(duration[:-1]), duration[-1]
    return f"{count * {'s': 1, 'm': 60}[unit] - 10}s"


def test_every_alert_fires_once_its_cause_has_lasted_and_none_without(tmp_path: Path) -> None:
    assert {rule["alert"] for rule in rules()} == set(CAUSES)
    firing = 'ALERTS{alertname="%s",alertstate="firing"}'
    tests = [a_test(series, at, firing % alert, 1) for alert, (series, at) in CAUSES.items()]
    for rule in rules():
        if lasts := rule.get("for"):
            series, _ = CAUSES[rule["alert"]]
            tests.append(a_test(series, a_moment_before(lasts), firing % rule["alert"], 0))
    done = promtool(tmp_path, *tests, *(a_test(HEALTHY, at, "ALERTS", 0) for at in ("4m", "15m")))
    assert done.returncode == 0, done.stdout + done.stderr


def test_what_an_outage_has_dropped_is_said_once_it_is_known(tmp_path: Path) -> None:
    """A spool that was full tells of all it has dropped at once, when its uplink is back."""
    series = {SETTLED % "dropped": "0x12 500x120", SETTLED % "inferred": "0+50x132"}
    firing = 'ALERTS{alertname="FishladderFramesDropped",alertstate="firing"}'
    done = promtool(tmp_path, a_test(series, "9m", firing, 1))
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_says_what_to_do_and_so_does_the_manual() -> None:
    for rule in rules():
        assert {"summary", "description"} <= rule["annotations"].keys(), rule["alert"]
    rows = re.findall(
        r"^\| `(Fishladder\w+)` \| (\w+) \| (?:[^|]+) \| (?:[^|]+) \|$", OPERATING.read_text(), re.MULTILINE
    )
    assert rows == [(rule["alert"], rule["labels"]["severity"]) for rule in rules()]


def test_an_uplink_that_is_down_is_said_as_that_alone(tmp_path: Path) -> None:
    """Nobody needs more workers for it, nor somebody to look at each camera."""
    series = {
        'up{job="fishladder-gateway",instance="g"}': "1x60",
        'fishladder_fleet_site_severity{site="shop-7"}': "3x60",
        f"fishladder_fleet_camera_severity{CAMERA}": "3x60",
        f"fishladder_fleet_oldest_pending_seconds{CAMERA}": "5+10x60",
    }
    done = promtool(tmp_path, a_test(series, "9m", 'ALERTS{alertstate="firing"}', 1))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_valid() -> None:
    assert PROMTOOL is not None
    for command in (["config", "prometheus.yaml"], ["rules", "alerts.yaml"]):
        place = RULES.parent / command[1]
        done = subprocess.run([PROMTOOL, "check", command[0], str(place)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
