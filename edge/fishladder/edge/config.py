"""An agent's settings: `[edge]` and `[[camera]]` of a TOML file, environment variables, flags. Checked here as a
whole, so that nothing starts with a setting that cannot work.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

import msgspec

from fishladder.edge.cameras.kinds import CameraSettings, kind_of
from fishladder.edge.cameras.pattern import PatternCamera
from fishladder.edge.capture import CaptureSettings, Mode
from fishladder.edge.config_checks import at_least, check_gate, check_steps, ignored, named
from fishladder.edge.encode import EncoderSettings
from fishladder.edge.gate import GateSettings
from fishladder.edge.gateway_address import GatewayAddress, address, origin
from fishladder.edge.limits.settings import LimitsConfig
from fishladder.edge.logins import split
from fishladder.edge.rate.passing import ENCODED_STEPS, STEPS, Step
from fishladder.edge.rate.profile import Profile, read_profile
from fishladder.edge.spool.settings import SpoolConfig
from fishladder.runtime.config import load_config
from fishladder.runtime.encoders import H264, best_h264
from fishladder.runtime.secret_files import read_secret
from fishladder.wire.errors import ConfigError

#: Multiples of it, less whole numbers, spread evenly over 0 to 1 however many there are.
_GOLDEN = 0.6180339887
_PRESETS = ("ultrafast", "superfast", "veryfast", "faster", "fast", "medium", "slow")


class CameraConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One `[[camera]]`. What is None is taken from `[edge]`."""

    name: str
    source: str
    sub: str = ""
    user: str = ""
    password: str = ""
    password_file: str = ""
    mode: Mode | None = None
    fps: float | None = None
    bitrate_kbps: int | None = None
    keyframe_s: float | None = None
    width: int | None = None
    preset: str | None = None
    loop: bool = False
    speed: float = 1.0
    size: str = ""
    camera_fps: float = 0.0
    timeout_s: float = 10.0
    whip_url: str = ""
    whip_token: str = ""
    whip_token_file: str = ""
    weight: float = 1.0
    gate: bool | None = None
    gate_keepalive_s: float | None = None
    gate_preroll_s: float | None = None
    gate_hold_s: float | None = None
    gate_sensitivity: float | None = None
    gate_ignore: tuple[str, ...] = ()
    step_down: tuple[Step, ...] | None = None
    transcode: bool | None = None
    profile: str | None = None


class EdgeConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`[edge]`. See edge.toml for what each means."""

    gateway: str = ""
    site: str = ""
    token: str = ""
    token_file: str = ""
    ca_file: str = ""
    proxy: str = ""
    uplink: Literal["stream", "whip"] = "stream"
    mode: Mode = "auto"
    fps: float | None = None
    bitrate_kbps: int = 1500
    keyframe_s: float = 2.0
    width: int = 0
    preset: str = "superfast"
    encoder: str = "auto"
    gate: bool = False
    gate_keepalive_s: float = 60.0
    gate_preroll_s: float = 1.0
    gate_hold_s: float = 5.0
    gate_sensitivity: float = 1.0
    step_down: tuple[Step, ...] = STEPS
    transcode: bool = False
    profile: str = ""
    ring_bytes: int = 64 << 20
    stall_s: float = 20.0
    drain_s: float = 10.0
    once: bool = False
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 9997
    log_level: str = "info"
    cameras: tuple[CameraConfig, ...] = ()
    spool: SpoolConfig = SpoolConfig()
    limits: LimitsConfig = LimitsConfig()

    def with_encoder(self) -> "EdgeConfig":
        """With the encoder that `auto` stands for on this host; takes seconds where there is hardware to be tried."""
        return msgspec.structs.replace(self, encoder=best_h264() or "x264") if self.encoder == "auto" else self

    @property
    def address(self) -> GatewayAddress:
        """The gateway. Raises `ConfigError`."""
        if not self.gateway:
            raise ConfigError("no gateway: set gateway (--gateway https://HOST:8889)")
        return self._address(self.gateway, self.token, self.token_file)

    def reaches(self, camera: CameraConfig) -> bool:
        """Whether it is said where that camera's pictures go."""
        return bool(self.gateway or (self.uplink == "whip" and camera.whip_url))

    def whip(self, camera: CameraConfig) -> tuple[GatewayAddress, str]:
        """A camera's WHIP server and endpoint: `whip_url`, or the gateway's own. Raises `ConfigError`.

        The site's token is for the gateway alone; any other server gets the camera's own, or none.
        """
        own = (camera.whip_token, camera.whip_token_file)
        if not camera.whip_url:
            to = self._address(self.address.url, *own) if any(own) else self.address
            return to, f"{to.url}/whip/{self.site}/{camera.name}"
        what = f"camera {camera.name}: whip_url"  # the rest of it may be a secret: it is never shown
        try:
            parts = split(camera.whip_url, "whip_url")
        except ConfigError:
            raise ConfigError(f"{what}: its host or port cannot be read") from None
        if parts.scheme not in ("http", "https"):
            raise ConfigError(f"{what}: expected https:// or http://")
        if "@" in parts.netloc:
            raise ConfigError(f"{what}: a login in it is not used: set whip_token_file (or whip_token)")
        server = f"{parts.scheme}://{parts.netloc}"
        ours = self.gateway and origin(self.gateway, "gateway") == origin(server, what)
        token = own if any(own) or not ours else (self.token, self.token_file)
        return self._address(server, *token, needs_token=False), camera.whip_url

    def _address(self, url: str, token: str, token_file: str, *, needs_token: bool = True) -> GatewayAddress:
        return address(
            url,
            needs_token=needs_token,
            token=token,
            token_file=Path(token_file) if token_file else None,
            ca_file=Path(self.ca_file) if self.ca_file else None,
            proxy=self.proxy,
        )

    def capture(self, camera: CameraConfig) -> CaptureSettings:
        """What a camera's capture process is told. Raises `ConfigError` when a password file cannot be read."""
        own_password = camera.password
        if camera.password_file:
            own_password = read_secret(Path(camera.password_file), f"camera {camera.name}: password_file")

        main, main_user, main_password = split_login(camera.source)

        def stream(url: str) -> CameraSettings:
            source, user, password = split_login(url)
            if urlsplit(source).hostname == urlsplit(main).hostname:  # the login in an address is for its host alone
                user, password = user or main_user, password or main_password
            return CameraSettings(
                source,
                user=camera.user or user,
                password=own_password or password,
                loop=camera.loop,
                speed=camera.speed,
                timeout_s=camera.timeout_s,
                size=camera.size,
                camera_fps=camera.camera_fps,
            )

        chosen = {name: getattr(camera, name) for name in ("keyframe_s", "width", "preset")}
        whip = self.uplink == "whip"
        kbps = self.bitrate_kbps if camera.bitrate_kbps is None else camera.bitrate_kbps
        return CaptureSettings(
            stream(camera.source),
            EncoderSettings(
                codec=self.encoder if self.encoder in H264 else "libx264",
                bitrate_bps=kbps * 1000,
                profile="baseline" if whip else "high",  # what every WebRTC peer takes
                **{name: getattr(self, name) if value is None else value for name, value in chosen.items()},
            ),
            mode=camera.mode or self.mode,
            fps=self.fps if camera.fps is None else camera.fps,
            phase=phase_of(self.cameras.index(camera)),
            only_h264=whip,
            gate=self._gate(camera),
            sub=stream(camera.sub) if camera.sub else None,
            steps=self._steps(camera),
        )

    def _steps(self, camera: CameraConfig) -> tuple[Step, ...]:
        named = self.step_down if camera.step_down is None else camera.step_down
        transcode = self.transcode if camera.transcode is None else camera.transcode
        if "transcode" in named or not transcode:
            return named
        return tuple(step for step in ENCODED_STEPS if step != "sub" or step in named)

    def profile_of(self, camera: CameraConfig) -> Profile | None:
        """By what its ladder goes; None = by its own rule. Raises `ConfigError` naming the file and what is wrong."""
        file = self.profile if camera.profile is None else camera.profile
        return read_profile(Path(file)) if file else None

    def _gate(self, camera: CameraConfig) -> GateSettings | None:
        if not (self.gate if camera.gate is None else camera.gate):
            return None
        chosen = {}
        for name in ("keepalive_s", "preroll_s", "hold_s", "sensitivity"):
            own = getattr(camera, f"gate_{name}")
            chosen[name] = getattr(self, f"gate_{name}") if own is None else own
        ignore = tuple(ignored(text, f"camera {camera.name}: gate_ignore") for text in camera.gate_ignore)
        return GateSettings(**chosen, ignore=ignore)


def phase_of(index: int) -> float:
    """When within 1/fps an agent's camera of that number takes its pictures."""
    return index * _GOLDEN % 1


def split_login(source: str) -> tuple[str, str, str]:
    """A source without the login in it, the user, the password."""
    if kind_of(source) != "rtsp":
        return source, "", ""
    parts = split(source, "camera source")
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return bare, unquote(parts.username or ""), unquote(parts.password or "")


def load(
    file: Path | None,
    flags: dict[str, Any],
    cameras: Sequence[CameraConfig] = (),
    *,
    spool: Mapping[str, Any] | None = None,
    limits: Mapping[str, Any] | None = None,
    needs_gateway: bool = True,
) -> EdgeConfig:
    """Read and check an agent's settings. `cameras` from flags replace those of the file, `spool` and `limits` are the
    flags for [spool] and [limits]. Without `needs_gateway` it may be missing, and then so may site and token. Raises
    `ConfigError`.
    """
    config = load_config(EdgeConfig, "edge", file=file, flags=flags)
    if config.cameras:
        raise ConfigError(f"settings of [edge] in {file}: give each camera as a [[camera]] of its own")
    if config.spool != SpoolConfig():
        raise ConfigError(f"settings of [edge] in {file}: give the spool as a [spool] of its own")
    if config.limits != LimitsConfig():
        raise ConfigError(f"settings of [edge] in {file}: give the limits as a [limits] of their own")
    config = msgspec.structs.replace(
        config,
        cameras=tuple(cameras or _cameras(file)),
        spool=load_config(SpoolConfig, "spool", file=file, flags=spool),
        limits=load_config(LimitsConfig, "limits", file=file, flags=limits),
    )
    _check(config, needs_gateway)
    return config


def camera_flag(text: str, *, loop: bool) -> CameraConfig:
    """`NAME=SOURCE`. Raises `ConfigError`."""
    name, equals, source = text.partition("=")
    if not equals:
        raise ConfigError(
            f"--camera {text.rpartition('@')[2]!r}: expected NAME=SOURCE, for example door=rtsp://10.0.0.7/main"
        )
    return CameraConfig(name=name, source=source, loop=loop)


def _cameras(file: Path | None) -> list[CameraConfig]:
    if file is None:
        return []
    tables = tomllib.loads(file.read_text()).get("camera", [])  # load_config has read it: it can be read
    if not isinstance(tables, list):
        raise ConfigError(f"settings file {file}: cameras are written [[camera]], with two brackets")
    tables = [_with_source(table) if isinstance(table, dict) else table for table in tables]
    try:
        return msgspec.convert(tables, list[CameraConfig])
    except msgspec.ValidationError as error:
        raise ConfigError(f"settings of [[camera]] in {file}: {error}") from None


def _with_source(table: dict[str, Any]) -> dict[str, Any]:
    """`main` is another word for `source`, for a camera that has a `sub` beside it."""
    if "main" not in table:
        return table
    if "source" in table:
        raise ConfigError(f"camera {table.get('name', '?')}: main and source are the same: give one of them")
    rest = dict(table)
    return {"source": rest.pop("main"), **rest}


def _check(config: EdgeConfig, needs_gateway: bool) -> None:
    if not config.cameras:
        raise ConfigError("no camera: give at least one [[camera]] (--camera NAME=SOURCE)")
    for camera in config.cameras:
        if needs_gateway or config.reaches(camera):
            to = config.whip(camera)[0] if config.uplink == "whip" else config.address
            to.headers()
            to.tls()
    if needs_gateway or config.gateway or config.site:
        named(config.site, "site")
    names = [named(camera.name, "camera name") for camera in config.cameras]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ConfigError(f"camera name {min(twice)!r} is given twice")
    at_least(config.ring_bytes, 1 << 20, "ring_bytes")
    config.spool.check()
    config.limits.check()
    if config.encoder not in ("auto", "x264", *H264):
        raise ConfigError(f"encoder {config.encoder!r}: expected one of auto, x264, {', '.join(H264)}")
    for camera in config.cameras:
        what = f"camera {camera.name}"
        capture = config.capture(camera)
        encoder = capture.encoder
        at_least(encoder.bitrate_bps, 10_000, f"{what}: bitrate_kbps * 1000")
        at_least(encoder.keyframe_s, 0.1, f"{what}: keyframe_s")
        if encoder.width:
            at_least(encoder.width, 32, f"{what}: width")
        at_least(camera.speed, 0.01, f"{what}: speed")
        at_least(camera.weight, 0.01, f"{what}: weight")
        at_least(camera.timeout_s, 0.1, f"{what}: timeout_s")
        if capture.fps is not None:
            at_least(capture.fps, 0.01, f"{what}: fps")
        if capture.gate is not None:
            if capture.mode == "passthrough":
                raise ConfigError(f'{what}: a gate needs pictures to look at: use mode = "encode", or gate = false')
            check_gate(capture.gate, what)
        check_steps(capture, what)
        if camera.transcode and (capture.mode == "encode" or capture.gate is not None):
            raise ConfigError(f"{what}: transcode is for a camera that is passed on: this one is encoded in any case")
        config.profile_of(camera)
        if encoder.preset not in _PRESETS:
            raise ConfigError(f"{what}: preset {encoder.preset!r}: expected one of {', '.join(_PRESETS)}")
        if kind_of(capture.camera.source) == "test":
            PatternCamera(capture.camera.source.removeprefix("test:"))
            if capture.mode == "passthrough":
                raise ConfigError(f'{what}: a test: camera has no stream of its own to pass on: use mode = "encode"')
