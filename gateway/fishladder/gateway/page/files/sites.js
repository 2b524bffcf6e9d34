// All sites, worst first.

import { h, Keyed, mark, say } from "./dom.js";
import { count, fps, rate, sentence } from "./words.js";

const WORDS = { down: "down", trouble: "in trouble", note: "with a note", ok: "well" };

export class SitesPage {
  title = "Sites";

  constructor() {
    this.summary = h("p.summary", { role: "status" });
    this.filter = h("input", { type: "search", id: "filter", placeholder: "Site", autocomplete: "off" });
    this.filter.addEventListener("input", () => this.last && this.update(this.last));
    this.finder = h("div.finder", {}, h("label", { for: "filter" }, "Find"), this.filter);
    this.list = h("ul.sites");
    this.empty = h("p.alone", { hidden: true });
    this.element = h("section", {}, h("div.head", {}, h("h1", {}, "Sites"), this.finder), this.summary, this.list, this.empty);
    this.rows = new Keyed(this.list, row);
  }

  update(overview) {
    this.last = overview;
    const many = Object.groupBy ? Object.groupBy(overview.sites, (it) => it.finding.severity) : group(overview.sites);
    const parts = Object.keys(WORDS).filter((key) => many[key]).map((key) => `${many[key].length} ${WORDS[key]}`);
    const idle = overview.sites.length && !overview.workers.some((it) => it.finding.severity !== "down");
    say(this.summary, parts.join(", ") + (idle && overview.workers.length ? "; no worker is running" : ""));
    const wanted = this.filter.value.trim().toLowerCase();
    const shown = overview.sites.filter((it) => it.site.includes(wanted));
    this.finder.hidden = overview.sites.length < 8;
    this.rows.update(shown, (it) => it.site);
    this.empty.hidden = shown.length > 0;
    say(
      this.empty,
      overview.sites.length ? `No site is called anything with “${wanted}”.` : "No camera has been heard of yet that your token may see.",
    );
  }
}

function group(sites) {
  const many = {};
  for (const site of sites) (many[site.finding.severity] ??= []).push(site);
  return many;
}

function row(site) {
  const what = h("span.what");
  const facts = h("span.facts");
  const link = h("a", { href: `#/site/${site.site}` }, h("strong", {}, site.site), what, facts);
  const element = h("li.row", {}, link);
  return {
    element,
    update(it) {
      mark(element, it.finding.severity);
      say(what, sentence(it.finding));
      const parts = [`${it.cameras_ok} of ${count(it.cameras, "camera")} well`];
      if (it.finding.severity !== "down") parts.push(fps(it.fps), `${rate(it.uplink.used_bps)} up`);
      if (it.pending && it.finding.severity !== "ok") parts.push(`${count(it.pending, "frame")} pending`);
      if (!it.closes) parts.push("account does not close");
      say(facts, parts.join(" · "));
    },
  };
}
