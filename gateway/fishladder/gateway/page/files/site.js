// One site: its uplink, and its cameras with the newest picture of each.

import { h, Keyed, mark, say } from "./dom.js";
import { LiveSocket } from "./live.js";
import { Stills, whyNoVideo } from "./stills.js";
import { duration, fps, month, ms, rate, seen, sentence, size } from "./words.js";

// More cameras than this are shown smaller, so that 32 are in view at once.
const MANY = 12;

export class SitePage {
  up = "#/";

  constructor(site) {
    this.title = site;
    this.site = site;
    this.what = h("p.what", { role: "status" });
    this.uplink = new Uplink();
    this.note = h("p.note", { hidden: true });
    this.grid = h("ul.tiles");
    this.element = h(
      "section",
      {},
      h("p.trail", {}, h("a", { href: "#/" }, "Sites")),
      h("h1", {}, site),
      this.what,
      this.uplink.element,
      h("h2", {}, "Cameras"),
      this.note,
      this.grid,
    );
    this.stills = new Stills();
    this.tiles = new Keyed(this.grid, (camera) => new Tile(camera));
    const why = whyNoVideo();
    this.note.hidden = !why;
    say(this.note, why ?? "");
    this.video = !why;
  }

  update({ site, cameras }) {
    mark(this.what, site.finding.severity);
    say(this.what, sentence(site.finding));
    this.uplink.update(site.uplink);
    this.grid.classList.toggle("dense", cameras.length > MANY);
    this.tiles.update(cameras, (it) => it.camera);
    this.look(cameras.map((it) => it.camera).sort());
  }

  // Opens the socket for these cameras; what is asked for changes only when a camera is added or goes.
  look(names) {
    const key = names.join();
    if (!this.video || key === this.looking) return;
    this.looking = key;
    this.socket?.close();
    this.socket = new LiveSocket(names.slice(0, 64), true, {
      unit: (camera, unit) =>
        this.stills.show(camera, unit, (picture, problem) => this.tiles.kept.get(camera)?.picture(picture, unit, problem)),
    });
  }

  missing(why) {
    say(this.what, why);
  }

  close() {
    this.socket?.close();
    this.stills.close();
    for (const tile of this.tiles.kept.values()) tile.gone();
  }
}

class Uplink {
  constructor() {
    this.bar = h("span.fill");
    this.meter = h("span.meter", { "aria-hidden": "true" }, this.bar);
    this.text = h("span");
    this.facts = h("span.facts");
    this.element = h("div.uplink", {}, h("h2", {}, "Uplink"), this.meter, h("p", {}, this.text, this.facts));
  }

  update(it) {
    this.meter.hidden = !it.estimate_bps;
    const known = it.estimate_bps ? Math.min(it.used_bps / it.estimate_bps, 1) : 0;
    this.bar.style.width = `${(known * 100).toFixed(1)}%`;
    mark(this.meter, known > 0.9 ? "trouble" : known > 0.75 ? "note" : "ok");
    say(
      this.text,
      it.estimate_bps
        ? `${rate(it.used_bps)} used of about ${rate(it.estimate_bps)} (${Math.round(known * 100)} %)`
        : `${rate(it.used_bps)} used; how much it would carry is not known yet`,
    );
    const facts = [];
    if (it.rtt_ms !== null) facts.push(`round trip ${ms(it.rtt_ms)}`);
    if (it.spool_bytes !== null && it.spool_limit_bytes) {
      const share = Math.round((100 * it.spool_bytes) / it.spool_limit_bytes);
      const left = it.spool_left_s === null ? "" : `, would last ${duration(it.spool_left_s)} more`;
      facts.push(`spool ${share} % of ${size(it.spool_limit_bytes)}${left}`);
    }
    if (it.limited_by) facts.push(`limited by ${it.limited_by}`);
    if (it.month) facts.push(month(it.month));
    if (it.age_s !== null && it.age_s > 10) facts.push(`its agent said so ${duration(it.age_s)} ago`);
    say(this.facts, facts.join(" · "));
  }
}

class Tile {
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
    this.at = 0;
    this.problem = "";
    this.timer = setInterval(() => this.tellAge(), 1000);
  }

  update(it) {
    mark(this.element, it.finding.severity);
    say(this.what, it.finding.severity === "ok" ? "live" : sentence(it.finding));
    const parts = it.finding.severity === "down" ? [] : [fps(it.fps), rate(it.bps)];
    if (it.latency_ms !== null && it.finding.severity !== "down") parts.push(ms(it.latency_ms));
    say(this.facts, parts.join(" · "));
    say(this.sees, it.finding.severity === "down" ? "" : `sees ${seen(it.seen)}`);
    this.tellAge();
  }

  picture(picture, unit, problem) {
    this.problem = problem ?? "";
    if (picture) {
      this.at = unit.captured_us / 1000;
      const width = Math.min(480, picture.displayWidth);
      this.canvas.width = width;
      this.canvas.height = Math.round((width * picture.displayHeight) / picture.displayWidth);
      this.canvas.getContext("2d").drawImage(picture, 0, 0, this.canvas.width, this.canvas.height);
      this.canvas.setAttribute("aria-label", `newest picture of ${this.name}`);
    }
    this.tellAge();
  }

  tellAge() {
    const ageS = this.at ? (Date.now() - this.at) / 1000 : null;
    say(this.age, this.problem || (ageS === null ? "no picture yet" : ageS < 3 ? "now" : `${duration(ageS)} ago`));
    this.age.classList.toggle("old", Boolean(this.problem) || ageS === null || ageS > 30);
  }

  gone() {
    clearInterval(this.timer);
  }
}
