// One camera among others of its site: its picture, live or the newest, and a few words.

import { h, mark, say } from "./dom.js";
import { Painter } from "./painter.js";
import { Player } from "./player.js";
import { duration, fps, ms, rate, seen, sentence } from "./words.js";

// Wide enough for a tile, also on a dense screen.
const WIDEST = 480;
const OLD_S = 30;
// A live picture this old is not live.
const LATE_S = 3;
// While nothing moves a picture comes each minute or so.
const QUIET_S = 150;

export class Tile {
  constructor(camera) {
    this.canvas = h("canvas", { width: 320, height: 180, role: "img", "aria-label": `${camera.name}, no picture yet` });
    this.age = h("span.age");
    this.what = h("span.what");
    this.facts = h("span.facts");
    this.sees = h("span.sees");
    this.link = h(
      "a",
      { href: `#/camera/${camera.camera}` },
      h("span.picture", {}, this.canvas, this.age),
      h("strong", {}, camera.name),
      this.what,
      this.facts,
      this.sees,
    );
    this.element = h("li.tile", {}, this.link);
    this.name = camera.name;
    this.at = 0; // when its picture was captured, our clock
    this.problem = "";
    this.painter = new Painter(this.canvas, WIDEST);
    this.timer = setInterval(() => this.tellAge(), 1000);
  }

  update(it) {
    this.quiet = it.sending?.gate === "closed";
    this.lateS = it.fps ? Math.max(LATE_S, 3 / it.fps) : LATE_S;
    mark(this.element, it.finding.severity);
    say(this.what, it.finding.severity === "ok" ? "live" : sentence(it.finding));
    const parts = it.finding.severity === "down" ? [] : [fps(it.fps), rate(it.bps)];
    if (it.latency_ms !== null && it.finding.severity !== "down") parts.push(ms(it.latency_ms));
    say(this.facts, parts.join(" · "));
    say(this.sees, ["down", "trouble"].includes(it.finding.severity) ? "" : `sees ${seen(it.seen)}`);
    this.tellAge();
  }

  // From now on it plays what its player is given.
  play(offsetMs) {
    this.stop();
    this.player = new Player(this.canvas, this.painter, offsetMs, false);
  }

  stop() {
    this.player?.close();
    this.player = null;
  }

  // A still, or why there is none; `at`: when it was captured, by our clock.
  async picture(picture, at, problem) {
    this.problem = problem ?? "";
    if (picture) {
      await this.painter.paint(picture);
      this.at = at;
    }
    this.tellAge();
  }

  tellAge() {
    const player = this.player;
    if (player?.shownAt) this.at = player.capturedMs;
    const problem = player ? player.problem : this.problem;
    const ageS = this.at ? (Date.now() - this.at) / 1000 : null;
    const now = player ? "live" : "now";
    let text = problem || "no picture yet";
    if (!problem && ageS !== null) text = ageS < LATE_S ? now : `${duration(ageS)} ago`;
    if (!problem && this.quiet) text = `nothing moves · ${text}`;
    say(this.age, text);
    const lateS = this.quiet ? QUIET_S : player ? this.lateS : OLD_S;
    this.age.classList.toggle("old", Boolean(problem) || ageS === null || ageS > lateS);
    const label = ageS === null ? `${this.name}, no picture yet` : `newest picture of ${this.name}`;
    if (this.canvas.getAttribute("aria-label") !== label) this.canvas.setAttribute("aria-label", label);
  }

  gone() {
    clearInterval(this.timer);
    this.stop();
  }
}
