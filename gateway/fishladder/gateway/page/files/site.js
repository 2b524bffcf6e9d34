// One site: its uplink, and its cameras, live where they are few, else with the newest picture of each.

import { h, Keyed, mark, say } from "./dom.js";
import { LiveSocket } from "./live.js";
import { Stills, whyNoVideo } from "./stills.js";
import { Tile } from "./tile.js";
import { Uplink } from "./uplink.js";
import { sentence } from "./words.js";

// So many cameras are played at once.
const LIVE = 6;
// More cameras than this are shown smaller, so that 32 are in view at once.
const MANY = 12;
// Pictures come of so many cameras at once: the gateway does not let one token watch more.
const MOST = 64;
// Who scrolls is asked nothing for until he rests.
const REST_MS = 300;
const TOO_SLOW = "This connection is too slow for live video of all cameras: they are shown by their newest keyframes.";

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
    this.tiles = new Keyed(this.grid, (camera) => this.tile(camera));
    this.inView = new Set(); // the elements of tiles
    this.observer = new IntersectionObserver((changes) => this.moved(changes));
    this.names = [];
    this.asked = []; // the cameras whose pictures come
    this.tooMany = this.refused = "";
    this.tooSlow = false;
    this.tell();
  }

  tell() {
    const notes = [whyNoVideo(), this.refused, this.tooSlow && TOO_SLOW, this.tooMany];
    const note = notes.filter(Boolean).join(" ");
    this.note.hidden = !note;
    say(this.note, note);
  }

  update({ site, cameras }) {
    mark(this.what, site.finding.severity);
    say(this.what, sentence(site.finding));
    this.uplink.update(site.uplink);
    this.grid.classList.toggle("dense", cameras.length > MANY);
    this.grid.classList.toggle("few", cameras.length <= LIVE);
    this.tiles.update(cameras, (it) => it.camera);
    this.names = cameras.map((it) => it.camera).sort();
    this.look();
  }

  tile(camera) {
    const tile = new Tile(camera);
    this.observer.observe(tile.element);
    return tile;
  }

  moved(changes) {
    for (const { target, isIntersecting } of changes) {
      if (isIntersecting) this.inView.add(target);
      else this.inView.delete(target);
    }
    clearTimeout(this.resting);
    this.resting = setTimeout(() => this.look(), REST_MS);
  }

  // The cameras whose stills are asked for: all, or of too many those in view, and then those that came before.
  chosen() {
    this.tooMany = "";
    if (this.names.length <= MOST) return this.names;
    const inView = this.names.filter((camera) => this.inView.has(this.tiles.kept.get(camera).element));
    if (!inView.length) return this.asked;
    if (inView.length > MOST) {
      this.tooMany = `Pictures of ${MOST} cameras come at once: of the ${inView.length} in view the others stand still.`;
    }
    const former = this.asked.filter((camera) => this.tiles.kept.has(camera));
    return [...new Set([...inView, ...former, ...this.names])].slice(0, MOST).sort();
  }

  // What is asked for changes only when a camera is added, goes, or comes into view.
  look() {
    if (whyNoVideo()) return;
    const live = this.names.length <= LIVE && !this.tooSlow;
    const asked = live ? this.names : this.chosen();
    this.tell();
    if (!asked.length || (live === this.live && `${asked}` === `${this.asked}`)) return;
    const stillsAsBefore = !live && this.live === false;
    Object.assign(this, { live, asked });
    if (stillsAsBefore) {
      this.socket.watch(asked);
      return;
    }
    this.socket?.close();
    for (const tile of this.tiles.kept.values()) {
      if (live) tile.play(() => this.socket.offsetMs);
      else tile.stop();
    }
    const refused = (why) => {
      this.refused = why;
      this.tell();
    };
    this.socket = new LiveSocket(asked, !live, { ...(live ? this.playing(asked) : this.showing()), refused });
  }

  // What to do with the pictures of cameras that are played.
  playing(names) {
    const playerOf = (camera) => this.tiles.kept.get(camera)?.player;
    return {
      unit: (camera, unit) => playerOf(camera)?.unit(unit),
      result: (camera, message) => playerOf(camera)?.result(message),
      state: (open) => open && names.forEach((camera) => playerOf(camera)?.restart()),
      skipped: () => this.slow(),
    };
  }

  // And with stills.
  showing() {
    return {
      unit: (camera, unit) => {
        const at = unit.captured_us / 1000 - this.socket.offsetMs;
        this.stills.show(camera, unit, (picture, problem) => this.tiles.kept.get(camera)?.picture(picture, at, problem));
      },
    };
  }

  slow() {
    this.tooSlow = true;
    this.look();
  }

  missing(why) {
    say(this.what, why);
  }

  close() {
    this.observer.disconnect();
    clearTimeout(this.resting);
    this.socket?.close();
    this.stills.close();
    for (const tile of this.tiles.kept.values()) tile.gone();
  }
}
