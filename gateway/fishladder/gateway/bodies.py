"""What a request brings: of what kind it says that is, and its bytes. Whatever a stranger sends here is answered with
4xx, never with a fault of ours.
"""

import asyncio

from aiohttp import web

#: A small one takes no longer on any link that is of use.
BODY_S = 10.0


def media_type(request: web.Request) -> str:
    """The media type without its parameters, in small letters; '' if none is named. (aiohttp's own, which takes them
    apart with the mail parser, raises `IndexError` for some that are none.)
    """
    return request.headers.get("Content-Type", "").partition(";")[0].strip().lower()


async def body(request: web.Request, what: str, *, within_s: float = BODY_S) -> bytes:
    """All of it. Raises 400 where it is not what its headers promise, 408, and 413 as the application says."""
    try:
        async with asyncio.timeout(within_s):
            return await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout(text=f"the {what} came too slowly") from None
    except ConnectionError:
        raise asyncio.CancelledError("nobody is there any more") from None  # the server waits for nothing then
    except web.RequestPayloadError:
        raise web.HTTPBadRequest(text=f"the {what} cannot be read: it is not what its headers say") from None
