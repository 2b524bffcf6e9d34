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
    this.tiles = new Keyed(this.grid, (camera) => new Tile(camera));
    this.say(whyNoVideo() ?? "");
    this.video = !whyNoVideo();
    this.tooSlow = false;
  }

  say(note) {
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
    this.look(cameras.map((it) => it.camera).sort());
  }

  // Opens the socket for these cameras; what is asked for changes only when a camera is added or goes.
  look(names) {
    const live = names.length <= LIVE && !this.tooSlow;
    const key = `${live} ${names}`;
    if (!this.video || key === this.looking) return;
    this.looking = key;
    this.socket?.close();
    for (const tile of this.tiles.kept.values()) {
      if (live) tile.play(() => this.socket.offsetMs);
      else tile.stop();
    }
    const tileOf = (camera) => this.tiles.kept.get(camera);
    const heard = live
      ? {
          unit: (camera, unit) => tileOf(camera)?.player?.unit(unit),
          result: (camera, message) => tileOf(camera)?.player?.result(message),
          state: (open) => open && names.forEach((camera) => tileOf(camera)?.player?.restart()),
          skipped: () => this.slow(names),
        }
      : {
          unit: (camera, unit) =>
            this.stills.show(camera, unit, (picture, problem) => tileOf(camera)?.picture(picture, unit, problem)),
        };
    this.socket = new LiveSocket(names.slice(0, 64), !live, heard);
  }

  slow(names) {
    this.tooSlow = true;
    this.say(TOO_SLOW);
    this.look(names);
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
