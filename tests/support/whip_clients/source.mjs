// Video over RTP from an ffmpeg of its own, for libraries that do not encode: `onPacket` gets each packet.
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';

const ENCODERS = {
  VP8: ['-c:v', 'libvpx', '-deadline', 'realtime', '-cpu-used', '8', '-b:v', '500k', '-g', '15'],
  H264: ['-c:v', 'libx264', '-profile:v', 'baseline', '-pix_fmt', 'yuv420p', '-preset', 'ultrafast', '-tune', 'zerolatency', '-g', '15'],
};

export const vp8 = onPacket => encoded('VP8', onPacket);

export async function encoded(codec, onPacket) {
  const socket = createSocket('udp4');
  await new Promise(bound => socket.bind(0, '127.0.0.1', bound));
  socket.on('message', onPacket);
  const input = ['-re', '-f', 'lavfi', '-i', 'testsrc2=size=320x240:rate=15'];
  const output = ['-f', 'rtp', `rtp://127.0.0.1:${socket.address().port}?pkt_size=1200`];
  const child = spawn('ffmpeg', ['-hide_banner', '-loglevel', 'error', ...input, ...ENCODERS[codec], ...output], { stdio: ['ignore', 'ignore', 'inherit'] });
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => { child.kill('SIGKILL'); process.exit(0); });
}

export async function post(url, token, sdp) {
  const headers = { 'Content-Type': 'application/sdp', Authorization: `Bearer ${token}` };
  const reply = await fetch(url, { method: 'POST', headers, body: sdp });
  const text = await reply.text();
  if (reply.status !== 201) throw new Error(`${reply.status} ${text}`);
  return text;
}
