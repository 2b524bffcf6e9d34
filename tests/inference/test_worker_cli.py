"""`fishladder worker run` as an operator meets it: what is wrong is said in one line, what runs says how it is."""

import asyncio
import socket
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from click.testing import CliRunner
from support import clips
from support.fleet import free_port
from support.logged import Producer
from support.stores import wait_until
from support.workers import settled, worker_process

from fishladder.inference.cli import worker
from fishladder.inference.config import WorkerSettings, parse_bytes, parse_duration_ms
from fishladder.runtime.store import Stores
from fishladder.wire.errors import ConfigError, FishladderError


async def run(*flags: str) -> tuple[int, list[str]]:
    """Exit status and what was written to stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fishladder.runtime", "worker", "run", *flags),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    return process.returncode, err.decode().strip().splitlines()


async def test_a_missing_model_file(tmp_path: Path) -> None:
    status, said = await run("--model", str(tmp_path / "no.onnx"))
    assert status == 2
    assert said == [f"fishladder: model file {tmp_path}/no.onnx does not exist"]


def refused(*flags: str) -> FishladderError:
    """What the command ends with, without a process of its own."""
    outcome = CliRunner().invoke(worker, ["run", *flags])
    assert isinstance(outcome.exception, FishladderError), outcome.output
    assert outcome.exception.exit_code == 2
    return outcome.exception


def test_a_model_of_no_known_name() -> None:
    said = str(refused("--model", "nonesuch"))
    assert "'nonesuch' is no file" in said
    assert "ssdlite-person" in said


def test_a_file_that_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_text("hello")
    assert "x.onnx" in str(refused("--model", str(tmp_path / "x.onnx"), "--processes", "3"))


@pytest.mark.parametrize("processes", ["1", "2"])
async def test_no_store(model: Path, processes: str) -> None:
    url = f"redis://127.0.0.1:{free_port()}"
    flags = ("--model", str(model), "--redis", url, "--store-timeout", "0.3", "--processes", processes)
    status, [said] = await run(*flags, "--metrics-port", "0")
    assert status == 3
    assert f"no state store at {url}" in said


async def test_no_gateway_on_this_host(model: Path, tmp_path: Path) -> None:
    flags = ("--model", str(model), "--data-dir", str(tmp_path), "--store-timeout", "0.3", "--processes", "1")
    status, [said] = await run(*flags, "--metrics-port", "0")
    assert status == 3
    assert "gateway run" in said


async def test_a_metrics_port_in_use(stores: Stores, model: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        flags = ("--model", str(model), "--redis", stores.urls.state, "--frames", stores.urls.frames)
        status, [said] = await run(*flags, "--processes", "1", "--metrics-port", port)
    assert status == 2
    assert said.startswith(f"fishladder: cannot listen on 127.0.0.1:{port} for metrics")


@pytest.mark.parametrize(
    ("flags", "names"),
    [
        (("--keep-results", "for ever"), "--keep-results"),
        (("--keep-bytes", "a lot"), "--keep-bytes"),
        (("--threads", "0"), "threads"),
        (("--lease-ms", "1"), "lease_ms"),
    ],
)
def test_settings_out_of_range(flags: tuple[str, ...], names: str) -> None:
    assert names in str(refused(*flags))


async def test_metrics_and_health_and_a_quick_end(stores: Stores, model: Path, tmp_path: Path) -> None:
    producer = Producer(stores, "site/camera")
    producer.capture(clips.plain())
    await producer.send()
    port = free_port()

    def get(path: str) -> tuple[int, str]:
        try:
            with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as reply:
                return reply.status, reply.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except OSError as error:
            return 0, str(error)

    async def is_ready() -> bool:
        return (await asyncio.to_thread(get, "/readyz"))[0] == 200

    async with worker_process(stores, model, tmp_path / "log", "--metrics-port", str(port)) as process:
        await wait_until(is_ready, 30, "ready")
        await settled(producer)
        _, metrics = await asyncio.to_thread(get, "/metrics")
        assert 'fishladder_worker_fates_total{camera="camera",reason="inferred",site="site"} 60.0' in metrics
        assert f"fishladder_worker_leases {float(stores.partitions)}" in metrics
        for hop in ("capture", "uplink", "log", "wait", "decode", "batch", "infer", "commit"):
            assert f'fishladder_worker_hop_seconds_count{{hop="{hop}"}} 60.0' in metrics
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0


async def test_several_processes_share_the_work_and_end_together(stores: Stores, model: Path, tmp_path: Path) -> None:
    producers = [Producer(stores, f"site/camera{index}") for index in range(6)]
    for producer in producers:
        producer.capture(clips.plain())
        await producer.send()
    async with worker_process(stores, model, tmp_path / "log", "--processes", "2") as process:
        for producer in producers:
            await settled(producer, 30)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 20) == 0, (tmp_path / "log").read_text()
    assert await stores.state.hgetall("fl:workers") == {}


def test_times_and_sizes() -> None:
    assert parse_duration_ms("90s", "x") == 90_000
    assert parse_duration_ms("1.5h", "x") == 5_400_000
    assert parse_duration_ms("7d", "x") == 7 * 86_400_000
    assert parse_bytes("512KB", "x") == 512 * 1024
    assert parse_bytes("65536", "x") == 65536
    for wrong in ("", "7", "d7", "-1s"):
        with pytest.raises(ConfigError, match="--keep"):
            parse_duration_ms(wrong, "--keep")


def test_one_process_a_core_by_default() -> None:
    assert WorkerSettings().process_count >= 1
    with pytest.raises(ConfigError, match="metrics-port"):
        WorkerSettings(metrics_port=65535, processes=5).check()
