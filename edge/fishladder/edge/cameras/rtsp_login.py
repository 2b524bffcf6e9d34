"""Why an RTSP camera refused our login: one DESCRIBE without credentials, and a look at the challenges it answers
with. And whether there is anybody at its address at all.
"""

import re
import socket
import ssl
from urllib.parse import urlsplit

from fishladder.edge.cameras.kinds import CameraSettings

_CHALLENGE = re.compile(r"^www-authenticate:\s*(\w+)(.*)$", re.IGNORECASE | re.MULTILINE)
_ALGORITHM = re.compile(r"algorithm=\"?([A-Za-z0-9-]+)", re.IGNORECASE)


def challenges(answer: str) -> list[str]:
    """The ways to log in that an RTSP answer offers, such as `Basic`, `Digest MD5`, `Digest SHA-256`."""
    found = []
    for scheme, rest in _CHALLENGE.findall(answer):
        algorithm = _ALGORITHM.search(rest)
        digest = f" {algorithm[1].upper() if algorithm else 'MD5'}"
        found.append(scheme.capitalize() + (digest if scheme.lower() == "digest" else ""))
    return found


def explain(offered: list[str], *, with_login: bool) -> str:
    """A sentence for the user."""
    if offered and not {"Basic", "Digest MD5"} & set(offered):
        return (
            f"it only accepts a login by {', '.join(offered)}, which is not supported here: "
            "allow Digest MD5 or Basic in the camera's RTSP settings"
        )
    if not with_login:
        return "it wants a login: set user and password_file for this camera"
    return "it refuses this user and password"


def why_unreachable(settings: CameraSettings) -> str:
    """Whether there is anybody at a camera's address; '' if there is, and the trouble is another."""
    host, port = _address(settings.source)
    try:
        socket.create_connection((host, port), timeout=min(settings.timeout_s, 3.0)).close()
    except socket.gaierror:
        return f"the name {host} cannot be resolved"
    except ConnectionRefusedError:
        return f"{host} is there, but nothing listens on port {port}: is RTSP turned on in the camera?"
    except TimeoutError:
        return f"{host} does not answer: is the camera on, and is that its address?"
    except OSError as error:
        return f"{host} cannot be reached: {error.strerror}"
    return ""


def _address(source: str) -> tuple[str, int]:
    parts = urlsplit(source)
    return parts.hostname or "", parts.port or (322 if parts.scheme == "rtsps" else 554)


def why_refused(settings: CameraSettings) -> str:
    """Ask the camera. If it does not answer, only the obvious is said."""
    tls = urlsplit(settings.source).scheme == "rtsps"
    host, port = _address(settings.source)
    request = f"DESCRIBE {settings.source} RTSP/1.0\r\nCSeq: 1\r\nAccept: application/sdp\r\n\r\n"
    answer = b""
    try:
        with socket.create_connection((host, port), timeout=settings.timeout_s) as plain:
            link = plain
            if tls:
                context = ssl.create_default_context()
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing secret is sent
                link = context.wrap_socket(plain)
            link.sendall(request.encode())
            while b"\r\n\r\n" not in answer and len(answer) < 65536:
                data = link.recv(4096)
                if not data:
                    break
                answer += data
    except OSError:
        answer = b""
    text = answer.decode("latin-1").replace("\r\n", "\n")
    return explain(challenges(text), with_login=bool(settings.user))
