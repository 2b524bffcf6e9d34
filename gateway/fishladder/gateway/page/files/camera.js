// One camera: its live picture with boxes, and where its frames and their time go.

import { h, Keyed, mark, say } from "./dom.js";
import { LiveSocket } from "./live.js";
import { Painter } from "./painter.js";
import { Player } from "./player.js";
import { whyNoVideo } from "./stills.js";
import { NAMES } from "./units.js";
import { duration, fps, ms, number, rate, seen, sentence, timeOf } from "./words.js";

const HOPS = {
  capture: "capture and encode",
  uplink: "uplink",
  log: "into the frame log",
  wait: "wait for a worker",
  decode: "decode",
  batch: "wait for the model",
  infer: "model",
  commit: "commit",
};
const OLD_MS = 3000;
// While nothing moves a picture comes each minute or so.
const QUIET_MS = 150_000;

export class CameraPage {
  constructor(site, name) {
    this.title = `${site}/${name}`;
    this.camera = `${site}/${name}`;
    this.up = `#/site/${site}`;
    this.what = h("p.what", { role: "status" });
    this.canvas = h("canvas", { width: 640, height: 360, role: "img", "aria-label": `live picture of ${name}` });
    this.over = h("p.over", { role: "status" });
    this.boxes = h("input", { type: "checkbox", id: "boxes", checked: true });
    this.glass = h("span.facts");
    this.hops = new HopBar();
    this.ledger = new LedgerTable();
    this.figures = new Figures();
    this.element = h(
      "section",
      {},
      h("p.trail", {}, h("a", { href: "#/" }, "Sites"), " / ", h("a", { href: this.up }, site)),
      h("h1", {}, name),
      this.what,
      h(
        "div.split",
        {},
        h(
          "div.screen",
          {},
          h("div.picture", {}, this.canvas, this.over),
          h("div.controls", {}, h("label", { for: "boxes" }, this.boxes, "boxes"), this.glass),
        ),
        h("div.about", {}, this.figures.element, this.hops.element, this.ledger.element),
      ),
    );
    this.why = whyNoVideo();
    if (!this.why) this.watch();
    this.timer = setInterval(() => this.tellPicture(), 250);
    this.tellPicture();
  }

  watch() {
    this.player = new Player(this.canvas, new Painter(this.canvas), () => this.socket?.offsetMs ?? 0);
    this.boxes.addEventListener("change", () => {
      this.player.boxes = this.boxes.checked;
      this.player.redraw = true;
    });
    this.skipped = 0;
    this.refused = "";
    this.socket = new LiveSocket([this.camera], false, {
      unit: (_, unit) => this.player.unit(unit),
      result: (_, message) => this.player.result(message),
      skipped: (units) => (this.skipped = units),
      refused: (why) => (this.refused = why),
      state: (open) => open && this.player.restart(),
    });
  }

  tellPicture() {
    const player = this.player;
    const ageMs = player?.shownAt ? Date.now() - player.capturedMs : null;
    const quiet = this.last?.sending?.gate === "closed";
    const slow = quiet ? QUIET_MS : this.last?.fps ? Math.max(OLD_MS, 3000 / this.last.fps) : OLD_MS;
    let text = "";
    if (this.why) text = this.why;
    else if (this.refused) text = this.refused;
    else if (player.problem) text = `No live picture: ${player.problem}.`;
    else if (ageMs === null) text = "Waiting for a picture to begin with…";
    else if (ageMs > slow) text = `This picture is ${duration(ageMs / 1000)} old.`;
    say(this.over, text);
    this.over.hidden = !text;
    this.canvas.classList.toggle("old", Boolean(text));
    const facts = [];
    if (quiet && ageMs !== null) facts.push(`nothing moves: this picture is ${duration(ageMs / 1000)} old`);
    else if (player && player.glassMs !== null && !text) facts.push(`${ms(player.glassMs)} from capture to glass`);
    if (player?.boxesLate) facts.push("no boxes: analysis is too far behind this picture");
    if (this.skipped) facts.push(`${number(this.skipped)} pictures not sent: this connection is too slow`);
    say(this.glass, facts.join(" · "));
  }

  update(it) {
    this.last = it;
    mark(this.what, it.finding.severity);
    say(this.what, sentence(it.finding));
    this.figures.update(it);
    this.hops.update(it);
    this.ledger.update(it.ledger);
  }

  missing(why) {
    mark(this.what, "down");
    say(this.what, why);
  }

  close() {
    clearInterval(this.timer);
    this.socket?.close();
    this.player?.close();
  }
}

function gate({ sending }) {
  if (!sending?.gate) return sending ? "none: every chosen picture is sent" : "–";
  return sending.gate === "open" ? "open: something moves" : "closed: nothing moves";
}

const rated = (value) => (value ? `${value.toFixed(value < 2 ? 2 : 1)} fps` : "every picture");

// What is desired of a camera, and what the stack asks within that.
function asked({ policy, policy_ms, asked }) {
  const facts = [policy.pause ? "pause" : rated(policy.fps)];
  if (policy.cap_bps) facts.push(`at most ${rate(policy.cap_bps)}`);
  if (policy_ms) facts[facts.length - 1] += ` since ${timeOf(policy_ms)}`;
  if (asked?.fps) facts.push(`${rated(asked.fps)} for now: ${asked.why === "quiet" ? "nothing is seen" : "workers are behind"}`);
  return facts.join(", ");
}

// And what its agent says that it does.
function does({ reported }) {
  if (!reported) return "not said";
  const { does, at_ms } = reported;
  const facts = [does.paused ? "paused" : rated(does.fps)];
  if (does.cap_bps) facts.push(`at most ${rate(does.cap_bps)}`);
  return `${facts.join(", ")} (at ${timeOf(at_ms)})`;
}

class Figures {
  constructor() {
    this.list = h("dl.figures");
    this.element = h("section", {}, h("h2", {}, "Now"), this.list);
    this.rows = new Keyed(this.list, ([name]) => {
      const value = h("dd");
      return { element: h("div", {}, h("dt", {}, name), value), update: ([, text]) => say(value, text) };
    });
  }

  update(it) {
    const wanted = it.policy.fps ? `at ${it.policy.fps} fps` : "every picture";
    this.rows.update(
      [
        ["Arrives", `${fps(it.fps)}, ${rate(it.bps)}`],
        ["Video", it.codec ? `${NAMES[it.codec] ?? it.codec}${it.width ? `, ${it.width} × ${it.height}` : ""}` : "–"],
        ["Analysed", it.policy.analyse === "keyframes" ? "keyframes only" : wanted],
        ["Sends", it.sending ? it.sending.what : "nobody has said"],
        ["Motion gate", gate(it)],
        ["Asked of it", asked(it)],
        ["Does", does(it)],
        ["Sees", seen(it.seen)],
        ["Oldest pending", it.ledger.pending ? duration(it.oldest_pending_s) : "nothing pending"],
        ["Agent heard", it.heard_age_s === null ? "never" : `${duration(it.heard_age_s)} ago`],
        ["Worker", it.worker || "–"],
      ],
      ([name]) => name,
    );
  }
}

class HopBar {
  constructor() {
    this.total = h("p.total");
    this.bar = h("div.hops", { "aria-hidden": "true" });
    this.legend = h("dl.legend");
    this.element = h("section", {}, h("h2", {}, "Latency"), this.total, this.bar, this.legend);
    this.segments = Object.fromEntries(
      Object.entries(HOPS).map(([hop, name]) => {
        const segment = h("span", { "data-hop": hop });
        const value = h("dd");
        this.bar.append(segment);
        this.legend.append(h("div", {}, h("dt", {}, h("i", { "data-hop": hop, "aria-hidden": "true" }), name), value));
        return [hop, { segment, value }];
      }),
    );
  }

  update({ hops_ms, latency_ms }) {
    const known = latency_ms !== null;
    this.bar.hidden = this.legend.hidden = !known;
    say(this.total, known ? `${ms(latency_ms)} from capture to committed, median of the last frames` : "nothing analysed lately");
    for (const [hop, { segment, value }] of Object.entries(this.segments)) {
      segment.style.width = known && latency_ms ? `${((100 * (hops_ms[hop] ?? 0)) / latency_ms).toFixed(2)}%` : "0";
      say(value, ms(hops_ms[hop]));
    }
  }
}

class LedgerTable {
  constructor() {
    this.body = h("dl.ledger");
    this.verdict = h("p.verdict");
    this.reasons = h("p.facts");
    this.element = h("section", {}, h("h2", {}, "Every frame accounted for"), this.body, this.verdict, this.reasons);
    this.cells = {};
    for (const [key, sign] of [["captured", ""], ["inferred", "= "], ["skipped", "+ "], ["dropped", "+ "], ["pending", "+ "]]) {
      this.cells[key] = h("dd");
      this.body.append(h("div", {}, h("dt", {}, sign + key), this.cells[key]));
    }
  }

  update(it) {
    for (const [key, cell] of Object.entries(this.cells)) say(cell, number(it[key]));
    mark(this.verdict, it.closes ? "ok" : "trouble");
    say(this.verdict, it.closes ? "The account closes." : `The account does not close: off by ${number(Math.abs(it.unaccounted))}.`);
    const reasons = Object.entries(it.reasons).map(([reason, many]) => `${reason.replaceAll("_", " ")} ${number(many)}`);
    say(this.reasons, reasons.join(" · "));
  }
}
