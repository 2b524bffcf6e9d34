// libdatachannel as OBS uses it: Opus first, H.264 baseline behind it, in one bundle, nothing trickled.
// node obs.mjs URL TOKEN, with NODE_MODULES as for werift.
import { createRequire } from 'node:module';
import { encoded, post } from './source.mjs';

const require = createRequire(`${process.env.NODE_MODULES}/`);
const library = require('node-datachannel');

const [url, token] = process.argv.slice(2);
const [AUDIO, VIDEO] = [7654321, 7654322];
const peer = new library.PeerConnection('obs', { iceServers: [] });
const audio = new library.Audio('0', 'SendOnly');
audio.addOpusCodec(111);
audio.addSSRC(AUDIO, 'obs', 'stream', 'audio');
const voice = peer.addTrack(audio);
const video = new library.Video('1', 'SendOnly');
video.addH264Codec(96);
video.addSSRC(VIDEO, 'obs', 'stream', 'video');
const track = peer.addTrack(video);
const gathered = new Promise(done => peer.onGatheringStateChange(state => state === 'complete' && done()));
const open = new Promise(done => track.onOpen(done));
peer.setLocalDescription();
await gathered;
peer.setRemoteDescription(await post(url, token, peer.localDescription().sdp), 'answer');
await open;
let sent = 0;
setInterval(() => {
  const packet = Buffer.from('806f00000000000000000000fcfffe', 'hex'); // 20 ms of Opus that says nothing
  packet.writeUInt16BE(sent & 0xffff, 2);
  packet.writeUInt32BE((sent++ * 960) >>> 0, 4);
  packet.writeUInt32BE(AUDIO, 8);
  if (voice.isOpen()) voice.sendMessageBinary(packet);
}, 20);
await encoded('H264', packet => {
  packet.writeUInt32BE(VIDEO, 8);
  packet[1] = (packet[1] & 0x80) | 96;
  if (track.isOpen()) track.sendMessageBinary(packet);
});
