// Decodes single pictures of many cameras, one after the other with one decoder: a wall of 32 cameras costs no more than
// its pictures.

import { decoderConfig, NAMES } from "./units.js";

// Why this browser cannot show live video here, or null.
export function whyNoVideo() {
  if (!window.isSecureContext) {
    return "Live video needs a secure address: open this page by https, or on the gateway itself as localhost. Figures are shown all the same.";
  }
  if (!("VideoDecoder" in window)) {
    return "This browser cannot decode live video (it has no WebCodecs). Figures are shown all the same.";
  }
  return null;
}

export const DAMAGED = "the picture cannot be decoded";
export const cannot = (unit) => `this browser cannot decode ${NAMES[unit.codec] ?? "this video"}`;

export class Stills {
  constructor() {
    this.waiting = new Map(); // camera -> [unit, done]: the newest only
    this.busy = false;
    this.closed = false;
  }

  // `done(picture, problem)` gets a VideoFrame (closed afterwards), or null and why not.
  show(camera, unit, done) {
    this.waiting.set(camera, [unit, done]);
    if (!this.busy) this.work();
  }

  async work() {
    this.busy = true;
    while (this.waiting.size && !this.closed) {
      const [[camera, [unit, done]]] = this.waiting;
      this.waiting.delete(camera);
      try {
        const picture = await (unit.codec === "jpeg" ? still(unit) : this.decode(unit));
        if (this.closed) picture?.close();
        else await done(picture, picture ? null : cannot(unit));
        picture?.close();
      } catch {
        this.frame?.close();
        this.frame = this.decoder = null;
        if (!this.closed) done(null, DAMAGED);
      }
    }
    this.busy = false;
  }

  async decode(unit) {
    const config = decoderConfig(unit);
    if (!config || !(await VideoDecoder.isConfigSupported(config)).supported) return null;
    if (this.decoder?.state !== "configured") {
      this.decoder = new VideoDecoder({
        output: (frame) => {
          this.frame?.close();
          this.frame = frame;
        },
        error: () => {},
      });
      this.codec = null;
    }
    if (this.codec !== config.codec) {
      this.decoder.configure(config);
      this.codec = config.codec;
    }
    this.frame = null;
    this.decoder.decode(new EncodedVideoChunk({ type: "key", timestamp: 0, data: unit.data }));
    await this.decoder.flush();
    const frame = this.frame;
    this.frame = null;
    return frame;
  }

  close() {
    this.closed = true;
    this.waiting.clear();
    if (this.decoder?.state === "configured") this.decoder.close();
  }
}

export async function still(unit) {
  const bitmap = await createImageBitmap(new Blob([unit.data], { type: "image/jpeg" }));
  const frame = new VideoFrame(bitmap, { timestamp: unit.pts_us });
  bitmap.close();
  return frame;
}
