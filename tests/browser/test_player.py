"""What the live page gives a decoder, in Chromium with one that only notes it."""

from pathlib import Path

import pytest
from support.chromium import chromium
from support.gateways import gateway
from support.installed import needs_chromium

from fishladder.runtime.store import Stores

pytestmark = [
    needs_chromium,
    pytest.mark.timeout(120),
]

#: A decoder that takes a delta no more than a real one does before a key, and opens when it is told `allow()`. Every
#: hundredth picture is clean. `settled` waits for all that follows by itself.
STAGE = """(async () => {
  const { Player } = await import("/page/player.js");
  const decoded = [];
  window.VideoDecoder = class {
    static isConfigSupported(config) {
      return new Promise((done) => (window.allow = (supported = true) => done({ supported, config })));
    }
    state = "unconfigured";
    decodeQueueSize = 0;
    configure() {
      this.state = "configured";
      this.began = false;
    }
    decode(chunk) {
      if (!this.began && chunk.type !== "key") throw new DOMException("a key is required", "DataError");
      this.began = true;
      this.decodeQueueSize += 1;
      decoded.push(chunk.timestamp);
    }
    close() {
      this.state = "closed";
    }
  };
  const player = new Player(document.createElement("canvas"), null, () => 0);
  const send = (first, last, codec = "vp8") => {
    for (let seq = first; seq <= last; seq++) {
      const clean = seq % 100 === 1;
      player.unit({ codec, clean, epoch: 1, seq, pts_us: seq, captured_us: 0, data: new Uint8Array(1) });
    }
  };
  const settled = () => new Promise((done) => setTimeout(done));
  // Pictures that come while the decoder opens and at every step of what follows.
  const meanwhile = async (first, middle, last, codec) => {
    send(first, middle, codec);
    allow();
    for (let seq = middle + 1; seq <= last; seq++) {
      send(seq, seq, codec);
      await null;
    }
    await settled();
    return decoded.splice(0);
  };
  window.stage = { player, send, settled, meanwhile, decoded };
})()"""


async def test_no_picture_is_lost_while_a_decoder_opens(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, chromium() as tab:
        await tab.open(it.url)
        await tab.evaluate(STAGE)
        # More than it may be behind otherwise: they have all come at once.
        assert await tab.evaluate("stage.meanwhile(1, 80, 90)") == list(range(1, 91))
        # The camera is given another codec, and again one while that opens.
        assert await tab.evaluate("stage.meanwhile(101, 103, 110, 'vp9')") == list(range(101, 111))
        await tab.evaluate("stage.send(201, 205, 'vp8'); stage.send(301, 305, 'av1'); allow(); stage.settled()")
        await tab.evaluate("allow(); stage.settled()")
        assert await tab.evaluate("stage.decoded.splice(0)") == [*range(201, 206), *range(301, 306)]
        assert not [one for one in tab.said if "DataError" in one or "TypeError" in one]


async def test_what_begins_anew_while_a_decoder_opens_begins_with_its_key(stores: Stores, tmp_path: Path) -> None:
    async with gateway(tmp_path, stores.urls) as it, chromium() as tab:
        await tab.open(it.url)
        await tab.evaluate(STAGE)
        await tab.evaluate("stage.send(1, 5); window.former = allow; stage.player.restart(); former(); stage.settled()")
        assert await tab.evaluate("stage.meanwhile(101, 105, 107)") == list(range(101, 108))
        # One it cannot decode is named, and what is left of the codec before is not mistaken for its pictures.
        await tab.evaluate("stage.send(201, 203, 'av1'); allow(false); stage.settled()")
        await tab.evaluate("stage.send(204, 206, 'av1'); stage.settled()")
        assert await tab.evaluate("stage.decoded") == []
        assert await tab.evaluate("stage.player.problem") == "this browser cannot decode AV1"
        assert await tab.evaluate("stage.meanwhile(301, 303, 305)") == list(range(301, 306))
        assert await tab.evaluate("stage.player.problem") == ""
        assert not [one for one in tab.said if "DataError" in one or "TypeError" in one]
