"""What a REST endpoint is: its path and what it takes and gives, from which both the route and its part of the OpenAPI
document are made, so that the two cannot disagree.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from aiohttp import web


class Problem(msgspec.Struct, frozen=True):
    """Why a request was not done."""

    error: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """One of a request's, in the path or the query. `schema` is its JSON schema."""

    name: str
    place: str
    about: str
    schema: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`gives` is the type of its answer, None for an empty one (204)."""

    method: str
    path: str
    about: str
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    gives: type[msgspec.Struct] | None
    takes: type[msgspec.Struct] | None = None
    parameters: tuple[Parameter, ...] = ()
    stream: str = ""  #: media type where the answer is a stream of `gives`
    anybody: bool = False  #: needs no token
    errors: tuple[int, ...] = ()


_NAME = {"type": "string", "pattern": "^[a-z0-9][a-z0-9._-]{0,63}$"}
SITE = Parameter("site", "path", "The site's name.", _NAME)
CAMERA = Parameter("camera", "path", "The camera's name within its site.", _NAME)


def answer(document: msgspec.Struct) -> web.Response:
    return web.Response(
        body=msgspec.json.encode(document), content_type="application/json", headers={"Cache-Control": "no-store"}
    )


def problem(status: int, error: str, headers: dict[str, str] | None = None) -> web.Response:
    response = answer(Problem(error.strip()))
    response.set_status(status)
    response.headers.update(headers or {})
    return response
