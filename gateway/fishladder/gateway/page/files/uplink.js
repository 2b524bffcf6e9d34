// A site's uplink: what is used of what it carries, and how full the spool is that bridges it when it is away.

import { h, mark, say } from "./dom.js";
import { duration, month, ms, rate } from "./words.js";

export class Uplink {
  constructor() {
    this.bar = h("span.fill");
    this.meter = h("span.meter", { "aria-hidden": "true" }, this.bar);
    this.text = h("span");
    this.facts = h("span.facts");
    this.spoolBar = h("span.fill");
    this.spoolMeter = h("span.meter", { "aria-hidden": "true" }, this.spoolBar);
    this.spool = h("p");
    this.element = h(
      "div.uplink",
      {},
      h("div", {}, h("h2", {}, "Uplink"), this.meter, h("p", {}, this.text, this.facts)),
      h("div", {}, h("h2", {}, "Spool"), this.spoolMeter, this.spool),
    );
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
    if (it.limited_by) facts.push(`limited by ${it.limited_by}`);
    if (it.month) facts.push(month(it.month));
    if (it.age_s !== null && it.age_s > 10) facts.push(`its agent said so ${duration(it.age_s)} ago`);
    say(this.facts, facts.join(" · "));
    this.spoolMeter.hidden = !it.spool_bytes || !it.spool_limit_bytes;
    const full = it.spool_limit_bytes ? Math.min(it.spool_bytes / it.spool_limit_bytes, 1) : 0;
    this.spoolBar.style.width = `${(full * 100).toFixed(1)}%`;
    mark(this.spoolMeter, full > 0.8 ? "trouble" : full > 0.5 ? "note" : "ok");
    say(this.spool, it.spool[0].toUpperCase() + it.spool.slice(1));
  }
}
