// @roamhq/wrtc (libwebrtc without a browser) as a WHIP client: node wrtc.mjs URL TOKEN, with NODE_MODULES as for werift.
import { createRequire } from 'node:module';
import { post } from './source.mjs';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const { RTCPeerConnection, nonstandard } = require('@roamhq/wrtc');

const [url, token] = process.argv.slice(2);
const [width, height] = [320, 240];
const source = new nonstandard.RTCVideoSource();
const peer = new RTCPeerConnection({ iceServers: [] });
peer.addTransceiver(source.createTrack(), { direction: 'sendonly' });
await peer.setLocalDescription(await peer.createOffer());
await new Promise(done => {
  if (peer.iceGatheringState === 'complete') done();
  peer.onicegatheringstatechange = () => peer.iceGatheringState === 'complete' && done();
});
await peer.setRemoteDescription({ type: 'answer', sdp: await post(url, token, peer.localDescription.sdp) });
let number = 0;
setInterval(() => {
  const data = new Uint8ClampedArray(width * height * 1.5).fill(40 + (number++ % 160));
  source.onFrame({ width, height, data });
}, 66);
