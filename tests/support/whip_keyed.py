"""What a WHIP client sends in place of its video: any RTP and RTCP, under the keys of its session."""

import re

from pylibsrtp import Error
from support.whip_client import WhipClient


class Keyed:
    """A connected client of VP8, best one that has nothing more to send by itself."""

    def __init__(self, client: WhipClient) -> None:
        self._dtls = client.peer.getTransceivers()[0].sender.transport
        [self.vp8] = [int(number) for number in re.findall(r"a=rtpmap:(\d+) VP8/90000", client.body)]
        self.rtx = next((int(number) for number in re.findall(r"a=fmtp:(\d+) apt=", client.body)), 97)

    async def send(self, data: bytes, *, control: bool) -> bool:
        """Whether it could be encrypted: libsrtp wants a header that makes some sense."""
        try:
            encrypt = self._dtls._tx_srtp
            encrypted = encrypt.protect_rtcp(data) if control else encrypt.protect(data)
        except (Error, TypeError):
            return False
        await self._dtls.transport._send(encrypted)
        return True
