// werift as a WHIP client: node werift.mjs URL TOKEN, with NODE_MODULES the directory it is installed in.
import { createRequire } from 'node:module';
import { post, vp8 } from './source.mjs';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const { MediaStreamTrack, RTCPeerConnection, RTCRtpCodecParameters } = require('werift');

const [url, token] = process.argv.slice(2);
const feedback = [{ type: 'nack' }, { type: 'nack', parameter: 'pli' }, { type: 'goog-remb' }];
const codec = new RTCRtpCodecParameters({ mimeType: 'video/VP8', clockRate: 90000, rtcpFeedback: feedback });
const peer = new RTCPeerConnection({ iceServers: [], codecs: { video: [codec] } });
const track = new MediaStreamTrack({ kind: 'video' });
peer.addTransceiver(track, { direction: 'sendonly' });
await peer.setLocalDescription(await peer.createOffer());
const answer = await post(url, token, peer.localDescription.sdp);
await peer.setRemoteDescription({ type: 'answer', sdp: answer });
await new Promise(connected => peer.connectionStateChange.subscribe(state => state === 'connected' && connected()));
await vp8(packet => track.writeRtp(packet));
