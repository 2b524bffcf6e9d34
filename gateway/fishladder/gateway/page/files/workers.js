// Workers and sinks.

import { h, Keyed, mark, say } from "./dom.js";
import { count, duration, number, sentence, size } from "./words.js";

export class WorkersPage {
  title = "Workers";
  up = "#/";

  constructor(viewer) {
    this.note = h("p.alone", { hidden: true });
    this.workers = h("ul.rows");
    this.sinks = h("ul.rows");
    this.delivery = h("section", { hidden: true }, h("h2", {}, "Sinks"), this.sinks);
    this.element = h("section", {}, h("h1", {}, "Workers"), this.note, this.workers, this.delivery);
    this.all = viewer.site === null;
    this.rows = new Keyed(this.workers, (it) => row(it.worker, worker));
    this.deliveries = new Keyed(this.sinks, (it) => row(it.sink, sink));
  }

  update({ workers, sinks }) {
    this.note.hidden = workers.length > 0;
    say(this.note, this.all ? "No worker is running: nothing is analysed." : "Workers serve all sites; your token is for one of them.");
    this.rows.update(workers, (it) => it.worker);
    this.delivery.hidden = !sinks.length;
    this.deliveries.update(sinks, (it) => it.sink);
  }
}

function row(name, facts) {
  const what = h("span.what");
  const figures = h("span.facts");
  const element = h("li.row", {}, h("div", {}, h("strong", {}, name), what, figures));
  return {
    element,
    update(it) {
      mark(element, it.finding.severity);
      say(what, sentence(it.finding));
      say(figures, facts(it).join(" · "));
    },
  };
}

function worker(it) {
  const facts = [`${count(it.cameras, "camera")} on ${count(it.partitions, "partition")}`, `${it.fps.toFixed(1)} frames/s`];
  if (it.lag_s !== null) facts.push(`newest result ${it.lag_s < 2 ? `${Math.round(it.lag_s * 1000)} ms` : duration(it.lag_s)} old`);
  if (it.backlog_bytes) facts.push(`${size(it.backlog_bytes)} read ahead`);
  if (it.model) facts.push(`${it.model} on ${it.provider}`);
  facts.push(`${it.host}, up ${duration((Date.now() - it.since_ms) / 1000)}`);
  return facts;
}

function sink(it) {
  const facts = [`${it.kind} to ${it.to}`, `${number(it.delivered)} delivered`, `${duration(it.lag_s)} behind`];
  if (it.missed) facts.push(`${count(it.missed, "frame")} missed`);
  return facts;
}
