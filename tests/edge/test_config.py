"""Settings from files, flags and the environment; each mistake is named."""

import re
from pathlib import Path

import msgspec
import pytest
from support.profiles import QUICK, SHARP, written

from fishladder.edge.config import camera_flag, load, split_login
from fishladder.edge.spool.places import in_memory
from fishladder.edge.spool.settings import SpoolConfig, find
from fishladder.wire.errors import ConfigError

FLAGS = {"gateway": "https://gw:8889", "site": "shop", "token": "t"}
EXAMPLE = Path(__file__).parents[2] / "edge" / "edge.toml"


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    return file


def test_the_example_is_valid_but_for_the_files_it_names(tmp_path: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text("s3cret\n")
    text = EXAMPLE.read_text()
    for named in ("/etc/fishladder/door.password", "/etc/fishladder/token"):
        text = text.replace(named, str(secret))
    config = load(write(tmp_path, text), {})
    assert [camera.name for camera in config.cameras] == ["door", "hall", "yard", "sample", "pattern"]
    door, hall, yard, *_ = (config.capture(camera) for camera in config.cameras)
    assert hall.sub is not None
    assert (hall.camera.source[-3:], hall.sub.source[-3:]) == ("101", "102")
    assert (door.camera.user, door.camera.password) == ("viewer", "s3cret")
    assert (yard.fps, yard.encoder.width, yard.encoder.bitrate_bps) == (2.0, 640, 1_500_000)


def test_what_the_example_shows_as_defaults_is_so() -> None:
    config = load(None, FLAGS, [camera_flag("a=test:", loop=False)])
    limits = msgspec.to_builtins(config.limits)
    section, shown = "", 0
    for line in EXAMPLE.read_text().splitlines():
        if line.removeprefix("# ").startswith("["):
            section = line.removeprefix("# ").strip()
        if "schedule" in section or not (setting := re.match(r"# (\w+) = ([^#]*)", line)):
            continue  # an entry of a schedule has no defaults
        name, value = setting[1], setting[2].strip()
        if name in ("fps", "size", "camera_fps", "gate_ignore"):  # examples, where there is no default
            continue
        holders = [limits] if section == "[limits]" else [_fields(config), _fields(config.cameras[0])]
        actual = next(holder[name] for holder in holders if name in holder)
        actual = str(list(actual)).replace("'", '"') if isinstance(actual, tuple) else actual
        assert str(actual).lower() == value.strip('"').lower(), name
        shown += 1
    assert shown > 20


def _fields(config: msgspec.Struct) -> dict[str, object]:
    return {field: getattr(config, field) for field in config.__struct_fields__}


def test_the_example_shows_the_defaults_of_the_spool(tmp_path: Path) -> None:
    text = EXAMPLE.read_text()
    spool = text[text.index("\n[spool]\n") :].partition("[[camera]]")[0]
    edge = '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n'
    config = load(write(tmp_path, f'{edge}{spool}[[camera]]\nname="x"\nsource="test:"\n'), {})
    assert config.spool == SpoolConfig()
    assert spool.count(" = ") >= len(SpoolConfig.__struct_fields__)


def test_the_spool_has_a_section_of_its_own_and_flags_that_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n{}[[camera]]\nname="x"\nsource="test:"\n'
    file = write(tmp_path, text.format('[spool]\ndirectory = "/a"\npolicy = "refuse_new"\n'))
    monkeypatch.setenv("FISHLADDER_SPOOL_BYTES", "5000000")
    config = load(file, {}, spool={"directory": "/b", "bytes": None})
    assert config.spool == SpoolConfig(directory="/b", bytes=5_000_000, policy="refuse_new")
    monkeypatch.delenv("FISHLADDER_SPOOL_BYTES")
    with pytest.raises(ConfigError, match=r"\[spool\] of its own"):
        load(write(tmp_path, text.format("spool = {enabled = false}\n")), {})
    for wrong, said in (("bytes = 1000", "at least 1048576"), ("max_age_h = 0", "more than 0"), ("size = 3", "size")):
        with pytest.raises(ConfigError, match=said):
            load(write(tmp_path, text.format(f"[spool]\n{wrong}\n")), {}, spool={})


def test_a_spool_has_a_sane_place_for_each_stack(tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path)}
    one = find(SpoolConfig(), "shop", "https://a:8889", home)
    two = find(SpoolConfig(), "shop", "https://b:8889", home)
    assert one is not None
    assert two is not None
    assert one.directory != two.directory
    assert one.directory.is_relative_to(tmp_path / ".local/state/fishladder")
    assert 0 < one.limit_bytes() <= 16 << 30
    served = {**home, "STATE_DIRECTORY": str(tmp_path / "lib"), "RUNTIME_DIRECTORY": str(tmp_path / "run")}
    three = find(SpoolConfig(), "shop", "https://a:8889", served)
    assert three is not None
    assert three.directory == tmp_path / "lib" / "spool"
    assert three.memory is None or in_memory(three.memory)
    assert find(SpoolConfig(enabled=False), "shop", "https://a", home) is None
    assert find(SpoolConfig(), "shop", "https://a", {}) is None  # no home: said, and memory alone
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="Not a directory"):
        find(SpoolConfig(directory=str(tmp_path / "file" / "x")), "shop", "https://a", home)


def test_flags_win_over_the_file_and_the_environment_lies_between(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path, '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n[[camera]]\nname="x"\nsource="test:"\n')
    monkeypatch.setenv("FISHLADDER_EDGE_SITE", "b")
    monkeypatch.setenv("FISHLADDER_EDGE_GATEWAY", "https://b")
    config = load(file, {"gateway": "https://c"})
    assert (config.gateway, config.site, config.token) == ("https://c", "b", "a")


def test_a_login_in_a_source_goes_no_further() -> None:
    camera = camera_flag("door=rtsp://user:p%40ss@10.0.0.7:554/main?x=1", loop=False)
    capture = load(None, FLAGS, [camera]).capture(camera)
    assert capture.camera.source == "rtsp://10.0.0.7:554/main?x=1"
    assert (capture.camera.user, capture.camera.password) == ("user", "p@ss")
    assert split_login("test:64x64") == ("test:64x64", "", "")


@pytest.mark.parametrize("login", ["user:s3/cr3t", "user:s3#cr3t", "user:[s3cr3t", "user:s3cr3t/"])
def test_a_login_that_should_have_been_encoded_is_not_shown(login: str, tmp_path: Path) -> None:
    """Python's own messages quote a piece of it as the port."""
    source = f"rtsp://{login}@10.0.0.7:554/main"
    with pytest.raises(ConfigError, match="percent-encoded") as wrong:
        load(None, FLAGS, [camera_flag(f"door={source}", loop=False)])
    assert not re.search("s3|cr3t", str(wrong.value))
    assert "'10.0.0.7:554/main'" in str(wrong.value)
    table = f'[edge]\nuplink="whip"\n[[camera]]\nname="a"\nsource="test:"\nwhip_url="https://{login}@host/x"\n'
    with pytest.raises(ConfigError, match="camera a: whip_url") as wrong:
        load(write(tmp_path, table), FLAGS)
    assert not re.search("s3|cr3t", str(wrong.value))


@pytest.mark.parametrize(
    ("flags", "cameras", "said"),
    [
        ({"gateway": ""}, ["a=test:"], "no gateway"),
        ({"gateway": "gw"}, ["a=test:"], "expected https://"),
        ({"token": ""}, ["a=test:"], "token_file"),
        ({"token": "two\nlines"}, ["a=test:"], "that is no token"),
        ({"token_file": "/nonexistent/token"}, ["a=test:"], "/nonexistent/token"),
        ({"ca_file": "/nonexistent/ca.pem"}, ["a=test:"], "/nonexistent/ca.pem"),
        ({"site": "Shop 7"}, ["a=test:"], "site 'Shop 7' is not allowed"),
        ({"site": ""}, ["a=test:"], "site"),
        ({}, [], "no camera"),
        ({}, ["a=test:", "a=test:"], "'a' is given twice"),
        ({}, ["A=test:"], "camera name 'A'"),
        ({}, ["a"], "expected NAME=SOURCE"),
        ({}, ["a=ftp://x"], "expected rtsp://"),
        ({}, ["a=rtsp://"], "no host"),
        ({}, ["a="], "empty"),
        ({}, ["a=test:7x7"], "must be even"),
        ({}, ["a=test:fast"], "expected test:WIDTHxHEIGHT@FPS"),
        ({"mode": "passthrough"}, ["a=test:"], "no stream of its own"),
        ({"fps": -1.0}, ["a=test:"], "camera a: fps"),
        ({"preset": "warp"}, ["a=test:"], "preset 'warp'"),
        ({"bitrate_kbps": 1}, ["a=test:"], "bitrate_kbps"),
        ({"width": -640}, ["a=test:"], "camera a: width is -640"),
        ({"mode": "magic"}, ["a=test:"], "mode"),
    ],
)
def test_each_mistake_is_named(flags: dict[str, object], cameras: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(None, {**FLAGS, **flags}, [camera_flag(text, loop=False) for text in cameras])


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[edge]\ngatewy = 'x'", "gatewy"),
        ("[edge]\n[[camera]]\nname='a'\nsource='test:'\nfpss=1", "fpss"),
        ("[edge]\n[camera]\nname='a'", "two brackets"),
        ("[[camera]]\nname='a'", "source"),
        ("[edge]\ncameras=[{name='a',source='test:'}]", r"\[\[camera\]\]"),
        ("[edge]\nkeyframe_s=nan\n[[camera]]\nname='a'\nsource='test:'", "keyframe_s is nan: expected a number"),
        ("[edge]\n[[camera]]\nname='a'\nsource='test:'\nspeed=inf", "speed is inf: expected a number"),
        ("[[camera]]\nname='a'\nsource='rtsp://x'\npassword_file='/nonexistent/pw'", "/nonexistent/pw"),
    ],
)
def test_each_mistake_in_a_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        load(write(tmp_path, text), FLAGS)


def test_the_login_in_an_address_goes_to_its_host_alone(tmp_path: Path) -> None:
    head = '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n[[camera]]\nname="x"\n'
    config = load(write(tmp_path, f'{head}main="rtsp://u:p@10.0.0.7/1"\nsub="rtsp://10.0.0.8/2"\n'), {})
    capture = config.capture(config.cameras[0])
    assert capture.sub is not None
    assert (capture.camera.user, capture.camera.password) == ("u", "p")
    assert (capture.sub.user, capture.sub.password) == ("", "")


def test_a_camera_of_two_streams(tmp_path: Path) -> None:
    head = '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n[[camera]]\nname="x"\n'
    both = 'main="rtsp://u:p@10.0.0.7/1"\nsub="rtsp://10.0.0.7/2"\n'
    config = load(write(tmp_path, f'{head}{both}user="v"\n'), {})
    capture = config.capture(config.cameras[0])
    assert capture.sub is not None
    assert (capture.camera.source, capture.camera.password, capture.sub.password) == ("rtsp://10.0.0.7/1", "p", "p")
    assert capture.steps == ("sub", "tail", "keyframes")
    for more, said in (
        ('source="test:"\n', "main and source are the same"),
        ('mode="encode"\n', "sub is for a camera that is passed on"),
        ("gate=true\n", "sub is for a camera that is passed on"),
        ('step_down=["tail"]\n', 'step_down does not name "sub"'),
        ('step_down=["sub", "sub"]\n', "names a step twice"),
        ('step_down=["up"]\n', "Invalid enum value"),
    ):
        with pytest.raises(ConfigError, match=said):
            load(write(tmp_path, f"{head}{both}{more}"), {})


def test_to_encode_anew_is_the_operators_to_allow(tmp_path: Path) -> None:
    head = '[edge]\ngateway="https://a"\nsite="a"\ntoken="a"\n'
    one = '[[camera]]\nname="x"\nsource="rtsp://10.0.0.7/1"\n'

    def steps(edge: str, camera: str) -> tuple[str, ...]:
        config = load(write(tmp_path, f"{head}{edge}{one}{camera}"), {})
        return config.capture(config.cameras[0]).steps

    assert "transcode" not in steps("", "")
    assert steps("", "transcode=true\n") == steps("transcode=true\n", "") == ("sub", "transcode")
    assert steps("transcode=true\n", "transcode=false\n") == ("sub", "tail", "keyframes")
    assert steps("transcode=true\n", "step_down=[]\n") == ("transcode",)
    assert steps("", 'step_down=["keyframes", "transcode"]\n') == ("keyframes", "transcode")
    assert steps("transcode=true\n", 'step_down=["tail", "transcode"]\n') == ("tail", "transcode")
    for more, said in (
        ('step_down=["transcode", "tail"]\n', "x: step_down: nothing comes behind transcode"),
        ('transcode=true\nmode="encode"\n', "x: transcode is for a camera that is passed on"),
        ("transcode=true\ngate=true\n", "x: transcode is for a camera that is passed on"),
        ('transcode="yes"\n', r"Expected `bool.*\[0\]\.transcode"),
    ):
        with pytest.raises(ConfigError, match=said):
            steps("", more)


def test_a_profile_is_the_agents_unless_a_camera_has_its_own_or_none(tmp_path: Path) -> None:
    for name, table in (("sharp.json", SHARP), ("quick.json", QUICK)):
        (tmp_path / name).write_bytes(written(table))
    cameras = "".join(
        f'[[camera]]\nname = "{name}"\nsource = "test:"\n{own}\n'
        for name, own in (("a", ""), ("b", f'profile = "{tmp_path / "quick.json"}"'), ("c", 'profile = ""'))
    )
    config = load(write(tmp_path, f'[edge]\nprofile = "{tmp_path / "sharp.json"}"\n{cameras}'), FLAGS)
    a, b, c = (config.profile_of(camera) for camera in config.cameras)
    assert a is not None
    assert b is not None
    assert c is None
    assert a.fitting(1e5, 640, 360, 20).fps < b.fitting(1e5, 640, 360, 20).fps
    (tmp_path / "sharp.json").write_bytes(b'{"rungs": 5}')
    with pytest.raises(ConfigError, match=r"profile .*sharp\.json: .*`\$\.rungs`|profile .*sharp\.json: .*`model`"):
        load(tmp_path / "edge.toml", FLAGS)
