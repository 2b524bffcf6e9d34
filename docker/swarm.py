"""Makes a stack file for Docker Swarm of what `docker compose config --format json` says (standard input to output):

    docker compose --profile demo config --format json | python3 docker/swarm.py > stack.json
    docker stack deploy -c stack.json fishladder

Swarm has no dependencies between services, no one-shot services but jobs, and its own ways to publish and to restart:
what needs another service simply starts again until it is there.
"""

import json
import sys
from typing import Any

#: What Swarm refuses or ignores, or what another key here says instead.
_DROPPED = (
    "profiles",
    "build",
    "pull_policy",
    "restart",
    "depends_on",
    "security_opt",
    "network_mode",
    "tmpfs",
    "scale",
)
#: Swarm kills what is not healthy for so many looks in a row. Ours say that they are not ready while another part is
#: away, which killing them would not bring back.
_RETRIES = 60
#: Of these, two behind one name would be two stores.
_STORES = ("frames", "state")
_TMPFS_BYTES = 64 << 20
_JOB = "init"
#: One at a time, the new one before the old one goes; back to what was before if that is not healthy.
_START_FIRST = {"order": "start-first", "parallelism": 1, "delay": "2s", "failure_action": "rollback", "monitor": "10s"}
_STOP_FIRST = {**_START_FIRST, "order": "stop-first"}


def stack(project: dict[str, Any]) -> dict[str, Any]:
    """The stack file of a compose project."""
    return {
        "version": "3.8",
        "services": {name: _service(name, service) for name, service in project["services"].items()},
        "networks": {
            name: {"driver": "overlay", "internal": bool(network.get("internal"))}
            for name, network in project.get("networks", {}).items()
            if name != "default"
        },
        "volumes": {name: {} for name in project.get("volumes", {})},
    }


def _service(name: str, service: dict[str, Any]) -> dict[str, Any]:
    made = {key: value for key, value in service.items() if key not in _DROPPED and value is not None}
    made["deploy"] = _deploy(name, service)
    if "tmpfs" in service:
        made["volumes"] = [*made.get("volumes", []), *map(_tmpfs, service["tmpfs"])]
    made["volumes"] = [
        {key: value for key, value in volume.items() if key not in ("bind", "volume")} for volume in made["volumes"]
    ]
    if "healthcheck" in service:
        made["healthcheck"] = {**service["healthcheck"], "retries": _RETRIES}
    if "ports" in service:
        made["ports"] = [
            {
                "target": port["target"],
                "published": int(port["published"]),
                "protocol": port["protocol"],
                "mode": "host",  # on the node itself: clients' addresses are seen, and WebRTC's ports are one to one
            }
            for port in service["ports"]
        ]
    if "networks" in service:
        made["networks"] = [network for network in service["networks"] if network != "default"]
    return made


def _deploy(name: str, service: dict[str, Any]) -> dict[str, Any]:
    limits = service.get("deploy", {}).get("resources", {}).get("limits", {})
    resources = {"limits": {key: str(value) for key, value in limits.items()}}
    if name == _JOB:
        return {"mode": "replicated-job", "resources": resources, "restart_policy": {"condition": "on-failure"}}
    # A port of the node has one owner and a volume one writer: there the old one goes first.
    writes = any(not volume.get("read_only") for volume in service.get("volumes", []))
    alone = name in _STORES or writes or bool(service.get("ports"))
    return {
        "endpoint_mode": "dnsrr",
        "replicas": service.get("deploy", {}).get("replicas", 1),
        "resources": resources,
        "restart_policy": {"condition": "any", "delay": "2s"},
        "update_config": _STOP_FIRST if alone else _START_FIRST,
    }


def _tmpfs(mount: str) -> dict[str, Any]:
    return {"type": "tmpfs", "target": mount.partition(":")[0], "tmpfs": {"size": _TMPFS_BYTES}}


def main() -> None:
    json.dump(stack(json.load(sys.stdin)), sys.stdout, indent=2)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
