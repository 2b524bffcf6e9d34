"""`fishladder sink run` as an operator starts it, on a whole system."""

from pathlib import Path

from support.fleet import fleet, until
from support.models import strips_model
from support.receivers import receiver


async def test_it_delivers_what_a_system_sees(tmp_path: Path) -> None:
    model = strips_model(tmp_path / "strips.onnx")
    async with receiver() as hook, fleet(tmp_path) as (system, _):
        await system.worker(model)
        await system.edge("shop-7", {"door": "test:160x120@10"})
        part = await system.start(
            *("sink", "sink", "run", "--webhook", f"http://127.0.0.1:{hook.port}/hook", "--metrics-port", "0"),
            *("--data-dir", str(tmp_path / "data")),
        )

        async def delivered() -> bool:
            assert part.process.returncode is None, part.said
            return len(hook.got) >= 10

        await until(delivered, 60, "ten results are delivered")
        status, out, err = await system.run("status", "--data-dir", str(tmp_path / "data"))
        assert (status, err) == (0, "")
        assert "webhook" in out
        assert "delivers" in out
        assert await part.stop() == 0
        status, out, err = await system.run("sink", "run", "--data-dir", str(tmp_path / "data"))
        assert status == 2
        assert "no sink is named" in err
