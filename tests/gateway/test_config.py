"""The settings file that comes with the gateway says what the gateway knows."""

import re
from pathlib import Path

import msgspec
import pytest

from fishladder.gateway.config import GatewaySettings
from fishladder.gateway.limits import Limits, Occupancy
from fishladder.runtime.config import load_config
from fishladder.wire.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "gateway" / "gateway.toml"


def test_the_example_names_every_setting_and_its_default(tmp_path: Path) -> None:
    told = re.sub(r"^# (\w+ = )", r"\1", EXAMPLE.read_text(), flags=re.M)
    (tmp_path / "all.toml").write_text(told)
    settings = load_config(GatewaySettings, "gateway", file=tmp_path / "all.toml", env={})
    assert settings.limits == Limits()
    # These have none, or depend on the machine:
    own = {"tls_cert", "tls_key", "keys", "register", "data_dir", "fps", "deadline_ms"}
    defaults = msgspec.structs.asdict(GatewaySettings())
    found = msgspec.structs.asdict(settings)
    assert {name: found[name] for name in found.keys() - own} == {
        name: defaults[name] for name in defaults.keys() - own
    }
    for name in (*GatewaySettings.__struct_fields__, *Limits.__struct_fields__):
        assert re.search(rf"^\[?gateway.{name}|^{name} = ", told, flags=re.M), name


def test_limits_that_cannot_be_are_named() -> None:
    for limits, word in (({"idle_s": 0}, "idle_s"), ({"unit_bytes": 2**30}, "unit_bytes"), ({"units": 1}, "units")):
        with pytest.raises(ConfigError, match=word):
            load_config(GatewaySettings, "gateway", flags={"limits": limits}, env={})


def test_occupancy_counts_each_and_all() -> None:
    it = Occupancy(2, 3)
    assert [it.enter("a"), it.enter("a"), it.enter("a")] == [True, True, False]
    assert [it.enter("b"), it.enter("b")] == [True, False]
    it.leave("a")
    assert it.enter("b")
    assert len(it) == 3
