// Reads what the gateway sends of a picture (see `live/viewer.py` and `wire/unit.py`), and says in the browser's terms
// how it is encoded.

const HEAD_BYTES = 19;
const UNIT_BYTES = 56;
const CLEAN = 1;
const CODECS = { 1: "h264", 2: "h265", 3: "vp8", 4: "vp9", 5: "av1", 6: "jpeg" };
export const NAMES = { h264: "H.264", h265: "H.265", vp8: "VP8", vp9: "VP9", av1: "AV1", jpeg: "JPEG" };

export function readUnit(buffer) {
  const view = new DataView(buffer);
  const at = HEAD_BYTES;
  return {
    index: view.getUint16(1),
    captured_us: Number(view.getBigInt64(3)),
    received_us: Number(view.getBigInt64(11)),
    codec: CODECS[view.getUint8(at + 1)],
    clean: (view.getUint8(at + 2) & CLEAN) !== 0,
    epoch: Number(view.getBigUint64(at + 16)),
    seq: Number(view.getBigUint64(at + 24)),
    pts_us: Number(view.getBigInt64(at + 32)),
    data: new Uint8Array(buffer, HEAD_BYTES + UNIT_BYTES),
  };
}

// What `VideoDecoder.configure` wants to know of a clean unit; null where it cannot be told.
export function decoderConfig(unit) {
  const codec = {
    h264: () => h264(unit.data),
    h265: () => h265(unit.data),
    vp8: () => "vp8",
    vp9: () => "vp09.00.51.08",
    av1: () => "av01.0.13M.08",
  }[unit.codec]?.();
  return codec ? { codec, optimizeForLatency: true, hardwareAcceleration: "no-preference" } : null;
}

const hex = (byte) => byte.toString(16).padStart(2, "0");

// The payload of the first NAL unit for which `wanted(first byte)` holds, in an Annex B stream.
function nal(data, wanted) {
  for (let at = 0; at + 4 < data.length; at++) {
    if (data[at] !== 0 || data[at + 1] !== 0 || data[at + 2] !== 1) continue;
    if (wanted(data[at + 3])) return data.subarray(at + 3, at + 64);
  }
  return null;
}

// RFC 6381: profile, constraints and level as the sequence parameter set has them.
function h264(data) {
  const sps = nal(data, (byte) => (byte & 0x1f) === 7);
  return sps ? `avc1.${hex(sps[1])}${hex(sps[2])}${hex(sps[3])}` : null;
}

// ISO/IEC 14496-15, annex E: profile, compatibility, tier, level and constraints.
function h265(data) {
  const escaped = nal(data, (byte) => ((byte >> 1) & 0x3f) === 33);
  if (!escaped) return null;
  const sps = [];
  for (let at = 0; at < escaped.length; at++) {
    if (at > 1 && escaped[at] === 3 && escaped[at - 1] === 0 && escaped[at - 2] === 0) continue;
    sps.push(escaped[at]);
  }
  let compatible = 0;
  for (let bit = 0; bit < 32; bit++) {
    if (sps[4 + (bit >> 3)] & (0x80 >> (bit & 7))) compatible |= 1 << bit;
  }
  const constraints = sps.slice(8, 14);
  while (constraints.length && !constraints.at(-1)) constraints.pop();
  const tier = sps[3] & 0x20 ? "H" : "L";
  return ["hev1", sps[3] & 0x1f, (compatible >>> 0).toString(16), `${tier}${sps[14]}`, ...constraints.map(hex)].join(".");
}
