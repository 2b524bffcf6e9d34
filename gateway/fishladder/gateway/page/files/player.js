// Plays one camera: decodes its units, holds each picture until what was seen in it is known, and draws both together.

import { cannot, DAMAGED, still } from "./stills.js";
import { decoderConfig } from "./units.js";

// A picture waits for its boxes as long as results lately took, and no longer than this.
const MOST_HOLD_MS = 1000;
const MOST_HELD = 12;
// Without a result for so long nobody analyses, and pictures wait for nothing.
const IDLE_MS = 3000;
// Boxes stay while pictures between analysed ones are shown, but not longer.
const BOXES_MS = 700;
const MOST_QUEUED = 60;
// Capture to glass is the median of so many pictures: those one catches up with at first do not count for long.
const AGES = 15;

// The newest of what is remembered, by key.
const MOST_KEPT = 200;

function remember(map, key, value) {
  map.set(key, value);
  if (map.size > MOST_KEPT) map.delete(map.keys().next().value);
}

export class Player {
  // `painter` is the canvas's; `names`: boxes are drawn with what is in them.
  constructor(canvas, painter, offsetMs, names = true) {
    this.canvas = canvas;
    this.painter = painter;
    this.offsetMs = offsetMs; // () => the gateway's clock less ours
    this.names = names;
    this.boxes = true;
    this.problem = "";
    this.shownAt = 0; // our clock
    this.painting = false;
    this.ages = []; // capture to glass of the last pictures, in ms
    this.closed = false;
    this.restart();
    this.delays = [];
    this.resultAt = 0;
    this.frame = requestAnimationFrame(() => this.tick());
  }

  // Forget everything of the stream; the next clean unit begins it.
  restart() {
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    for (const one of this.held ?? []) one.picture.close();
    this.decoder = null;
    this.codec = null;
    this.waits = true;
    this.opening = null; // units that wait for the decoder, while it opens
    this.behind = 0; // of those so many may still be in the decoder
    this.units = new Map(); // timestamp -> unit, while it is in the decoder
    this.held = []; // decoded, not yet shown
    this.results = new Map(); // "epoch-seq" -> what was seen
    this.decodedAt = new Map(); // "epoch-seq" -> when
    this.current?.picture.close();
    this.current = null; // on the glass
    this.settled = [0, 0];
    this.drawn = null;
  }

  unit(unit) {
    if (this.opening) this.opening.push(unit);
    else if (unit.codec === "jpeg") this.still(unit);
    else if (unit.clean && !this.fits(decoderConfig(unit))) this.open(unit);
    else this.decode(unit);
  }

  async still(unit) {
    let picture = null;
    try {
      picture = await still(unit);
    } catch {
      // damaged
    }
    if (this.closed) {
      picture?.close();
      return;
    }
    this.problem = picture ? "" : DAMAGED;
    if (picture) this.decoded(picture, unit);
  }

  fits(config) {
    return config?.codec === this.codec && this.decoder?.state === "configured";
  }

  decode(unit) {
    if (this.waits && !unit.clean) return;
    if (this.decoder?.state !== "configured" || this.decoder.decodeQueueSize > MOST_QUEUED + this.behind) {
      this.waits = true;
      return;
    }
    this.waits = false;
    this.units.set(unit.pts_us, unit);
    if (this.units.size > 2 * MOST_QUEUED + this.behind) this.units.delete(this.units.keys().next().value);
    this.decoder.decode(
      new EncodedVideoChunk({ type: unit.clean ? "key" : "delta", timestamp: unit.pts_us, data: unit.data }),
    );
  }

  // Make a decoder for what begins with this clean unit. What comes meanwhile refers to it, and is decoded after it.
  async open(unit) {
    const waiting = (this.opening = [unit]);
    const config = decoderConfig(unit);
    let supported = false;
    try {
      supported = config !== null && (await VideoDecoder.isConfigSupported(config)).supported;
    } catch {
      // a codec string it does not even know
    }
    if (this.opening !== waiting) return; // begun anew meanwhile, or closed
    this.opening = null;
    if (supported) {
      this.configure(config);
      this.decode(waiting.shift());
    } else {
      this.restart();
      this.problem = cannot(waiting.shift());
    }
    // It all comes at once, and does not mean that the decoder is too slow.
    this.behind = waiting.length;
    for (const one of waiting) this.unit(one);
  }

  configure(config) {
    this.problem = "";
    if (this.decoder && this.decoder.state !== "closed") this.decoder.close();
    const decoder = new VideoDecoder({
      output: (picture) => this.output(picture),
      error: () => {
        if (this.decoder === decoder) this.restart();
      },
    });
    decoder.configure(config);
    this.decoder = decoder;
    this.codec = config.codec;
  }

  output(picture) {
    this.behind = Math.min(this.behind, this.decoder.decodeQueueSize);
    const unit = this.units.get(picture.timestamp);
    this.units.delete(picture.timestamp);
    if (unit) this.decoded(picture, unit);
    else picture.close();
  }

  decoded(picture, unit) {
    if (this.closed) {
      picture.close();
      return;
    }
    const { epoch, seq, captured_us } = unit;
    const at = performance.now();
    remember(this.decodedAt, `${epoch}-${seq}`, at);
    this.held.push({ picture, epoch, seq, captured_us, at });
    this.held.sort((a, b) => a.epoch - b.epoch || a.picture.timestamp - b.picture.timestamp);
  }

  result({ result }) {
    if (result.lane === "backfill") return;
    const now = performance.now();
    this.settled = [result.epoch, result.last];
    for (const frame of result.frames ?? []) {
      const key = `${result.epoch}-${frame.seq}`;
      remember(this.results, key, frame);
      this.resultAt = now;
      if (this.decodedAt.has(key)) this.delays = [...this.delays.slice(-29), now - this.decodedAt.get(key)];
      // Too late to be waited for, but its picture is still on the glass.
      if (this.current && key === `${this.current.epoch}-${this.current.seq}`) this.redraw = true;
    }
  }

  holdMs(now) {
    if (now - this.resultAt > IDLE_MS) return 0;
    if (!this.delays.length) return MOST_HOLD_MS / 2;
    if (this.boxesLate) return 0;
    return Math.min(Math.max(...this.delays) * 1.3 + 40, MOST_HOLD_MS);
  }

  // Whether what was seen comes too late to be shown with its picture.
  get boxesLate() {
    return performance.now() - this.resultAt < IDLE_MS && this.delays.length > 0 && Math.min(...this.delays) > MOST_HOLD_MS;
  }

  ready(one, now) {
    const [epoch, last] = this.settled;
    const known = one.epoch < epoch || (one.epoch === epoch && one.seq <= last);
    return known || now - one.at > this.holdMs(now) || this.held.length > MOST_HELD;
  }

  tick() {
    if (this.closed) return;
    this.frame = requestAnimationFrame(() => this.tick());
    if (this.painting) return;
    const now = performance.now();
    let next = null;
    while (this.held.length && this.ready(this.held[0], now)) {
      next?.picture.close();
      next = this.held.shift();
    }
    if (next) {
      this.current?.picture.close();
      this.current = next;
      this.draw(next, true);
    } else if (this.redraw && this.current) {
      this.draw(this.current, false);
    }
    this.redraw = false;
  }

  async draw(shown, isNew) {
    const { canvas } = this;
    const { picture, epoch, seq, captured_us } = shown;
    this.painting = true;
    try {
      await this.painter.paint(picture);
    } catch {
      // closed meanwhile
    }
    this.painting = false;
    if (this.current !== shown) return; // the stream has begun anew
    const key = `${epoch}-${seq}`;
    const own = this.results.get(key);
    if (own) this.drawn = { key, detections: own.detections, of: captured_us };
    const fresh = this.drawn && Math.abs(captured_us - this.drawn.of) / 1000 < BOXES_MS;
    if (this.boxes && fresh) this.drawBoxes(this.drawn.detections);
    canvas.dataset.picture = key;
    canvas.dataset.boxes = this.boxes && fresh ? this.drawn.key : "";
    if (!isNew) return;
    this.shownAt = Date.now();
    this.capturedMs = captured_us / 1000 - this.offsetMs(); // on our clock
    const age = performance.timeOrigin + performance.now() - this.capturedMs;
    this.ages = [...this.ages.slice(1 - AGES), age];
    canvas.dataset.age = age.toFixed(1);
  }

  // null while nothing has been shown.
  get glassMs() {
    return this.ages.length ? [...this.ages].sort((a, b) => a - b)[this.ages.length >> 1] : null;
  }

  drawBoxes(detections) {
    const { surface: canvas, context } = this.painter;
    const scale = Math.max(canvas.width / 640, 1);
    context.lineWidth = 2 * scale;
    context.font = `600 ${Math.round(12 * scale)}px system-ui, sans-serif`;
    context.textBaseline = "top";
    for (const it of detections) {
      const [x, y] = [it.x1 * canvas.width, it.y1 * canvas.height];
      const [width, height] = [(it.x2 - it.x1) * canvas.width, (it.y2 - it.y1) * canvas.height];
      context.strokeStyle = "#00131599";
      context.strokeRect(x - scale, y - scale, width + 2 * scale, height + 2 * scale);
      context.strokeStyle = "#38f2c8";
      context.strokeRect(x, y, width, height);
      if (!this.names) continue;
      const label = `${it.label} ${Math.round(it.score * 100)}`;
      const tall = 16 * scale;
      const top = y >= tall ? y - tall : y;
      context.fillStyle = "#38f2c8";
      context.fillRect(x - scale, top, context.measureText(label).width + 8 * scale, tall);
      context.fillStyle = "#00201c";
      context.fillText(label, x + 3 * scale, top + 2 * scale);
    }
  }

  close() {
    this.closed = true;
    cancelAnimationFrame(this.frame);
    this.restart();
  }
}
