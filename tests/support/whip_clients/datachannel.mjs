// node-datachannel (libdatachannel) as a WHIP client: node datachannel.mjs URL TOKEN, with NODE_MODULES as for werift.
import { createRequire } from 'node:module';
import { post, vp8 } from './source.mjs';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const library = require('node-datachannel');

const [url, token] = process.argv.slice(2);
const SSRC = 1234567;
const peer = new library.PeerConnection('client', { iceServers: [] });
const video = new library.Video('0', 'SendOnly');
video.addVP8Codec(96);
video.addSSRC(SSRC, 'video');
const track = peer.addTrack(video);
const gathered = new Promise(done => peer.onGatheringStateChange(state => state === 'complete' && done()));
const open = new Promise(done => track.onOpen(done));
peer.setLocalDescription();
await gathered;
peer.setRemoteDescription(await post(url, token, peer.localDescription().sdp), 'answer');
await open;
await vp8(packet => {
  packet.writeUInt32BE(SSRC, 8);
  packet[1] = (packet[1] & 0x80) | 96;
  if (track.isOpen()) track.sendMessageBinary(packet);
});
