"""GStreamer's webrtcbin as a WHIP client, with the RSA certificate it makes for itself. Run by the system's Python,
which has its bindings: `python3 gst.py URL TOKEN CODEC`, until it is killed.
"""

import sys
import urllib.request

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstWebRTC", "1.0")
gi.require_version("GstSdp", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

ENCODERS = {
    "H264": "x264enc tune=zerolatency speed-preset=ultrafast bitrate=600 key-int-max=30 ! video/x-h264,profile=baseline"
    " ! rtph264pay config-interval=-1 aggregate-mode=zero-latency"
    " ! application/x-rtp,media=video,encoding-name=H264,payload=96",
    "VP8": "vp8enc deadline=1 target-bitrate=600000 keyframe-max-dist=30 ! rtpvp8pay"
    " ! application/x-rtp,media=video,encoding-name=VP8,payload=96",
}


def main() -> None:
    url, token, codec = sys.argv[1:4]
    Gst.init(None)
    pipeline = Gst.parse_launch(
        "webrtcbin name=peer bundle-policy=max-bundle"
        " videotestsrc is-live=true pattern=ball ! video/x-raw,width=320,height=240,framerate=15/1 ! videoconvert"
        f" ! {ENCODERS[codec]} ! peer."
    )
    peer = pipeline.get_by_name("peer")
    loop = GLib.MainLoop()

    def gathered(*_: object) -> None:
        if peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        offer = peer.get_property("local-description").sdp.as_text()
        headers = {"Content-Type": "application/sdp", "Authorization": f"Bearer {token}"}
        request = urllib.request.Request(url, offer.encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=20) as reply:
            text = reply.read()
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(text, message)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        peer.emit("set-remote-description", answer, Gst.Promise.new())

    def offered(promise: Gst.Promise, *_: object) -> None:
        reply = promise.get_reply()  # the offer lives as long as it does
        offer = reply.get_value("offer")
        peer.emit("set-local-description", offer, Gst.Promise.new())

    def needed(*_: object) -> None:
        peer.emit("create-offer", None, Gst.Promise.new_with_change_func(offered, None))

    peer.connect("on-negotiation-needed", needed)
    peer.connect("notify::ice-gathering-state", gathered)
    bus = pipeline.get_bus()
    bus.add_signal_watch()
    bus.connect("message::error", lambda _, message: sys.exit(str(message.parse_error())))
    pipeline.set_state(Gst.State.PLAYING)
    loop.run()


main()
