"""Debian's Chromium, headless, driven over its DevTools protocol: open a page, evaluate in it, type, wait. Only what
the tests of the live page need.
"""

import asyncio
import itertools
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientWebSocketResponse
from support.installed import CHROMIUM
from support.stores import wait_until

_FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--mute-audio", "--hide-scrollbars"),
    "--remote-debugging-port=0",
)


class Tab:
    """One page. What it logs or throws is in `said`."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.said: list[str] = []
        self._socket = socket
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def listen(self) -> None:
        async for message in self._socket:
            it = message.json()
            if "id" in it:
                self._answers.pop(it["id"]).set_result(it)
            elif it["method"] == "Runtime.exceptionThrown":
                details = it["params"]["exceptionDetails"]
                self.said.append(details.get("exception", {}).get("description") or details["text"])
            elif it["method"] == "Log.entryAdded":
                self.said.append(f"{it['params']['entry']['level']}: {it['params']['entry']['text']}")

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": number, "method": method, "params": params})
        it = await asyncio.wait_for(answer, 60)
        assert "error" not in it, (method, it["error"])
        result: dict[str, Any] = it["result"]
        return result

    async def evaluate(self, script: str) -> Any:
        """The value of an expression; promises are awaited."""
        it = await self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in it, it["exceptionDetails"]
        return it["result"].get("value")

    async def open(self, url: str) -> None:
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete'", "the page is loaded")

    async def until(self, script: str, what: str, within_s: float = 30) -> Any:
        """Wait until an expression is true."""
        return await wait_until(lambda: self.evaluate(script), within_s, f"{what} ({self.said})", 0.05)

    async def text(self) -> str:
        text: str = await self.evaluate("document.body.innerText")
        return text

    async def type(self, text: str) -> None:
        await self.call("Input.insertText", text=text)

    async def press(self, key: str) -> None:
        code = {"Enter": 13, "Tab": 9, "Escape": 27}[key]
        text = "\r" if key == "Enter" else ""
        for kind in ("keyDown", "keyUp"):
            await self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )

    async def look(self, *, width: int = 1280, height: int = 800, dark: bool = False) -> None:
        """The size of the window, and what the reader prefers."""
        await self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        await self.call("Emulation.setEmulatedMedia", features=[scheme])


@asynccontextmanager
async def chromium(*flags: str) -> AsyncIterator[Tab]:
    """A browser with one empty tab."""
    assert CHROMIUM is not None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        process = await asyncio.create_subprocess_exec(
            CHROMIUM, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank",
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            told = Path(profile) / "DevToolsActivePort"
            await wait_until(lambda: told.exists() and "\n" in told.read_text(), 60, "chromium says its port")
            port = told.read_text().split()[0]
            async with ClientSession() as http:
                pages: list[dict[str, Any]] = []

                async def tab_is_there() -> bool:
                    async with http.get(f"http://127.0.0.1:{port}/json/list") as reply:
                        pages[:] = [it for it in await reply.json() if it["type"] == "page"]
                    return bool(pages)

                await wait_until(tab_is_there, 30, "chromium has a tab")
                async with http.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                    tab = Tab(socket)
                    listening = asyncio.create_task(tab.listen(), name="devtools")
                    try:
                        for domain in ("Page", "Runtime", "Log"):
                            await tab.call(f"{domain}.enable")
                        yield tab
                    finally:
                        listening.cancel()
                        await asyncio.gather(listening, return_exceptions=True)
        finally:
            process.terminate()
            await process.wait()
