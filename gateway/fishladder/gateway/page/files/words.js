// Figures in words, as `fishladder status` says them.

const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const exact = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const grouped = new Intl.NumberFormat("en");

export const number = (value) => grouped.format(value);

export function duration(seconds) {
  for (const [unit, length] of [["days", 86400], ["h", 3600], ["min", 60]]) {
    if (seconds >= 2 * length) return `${Math.round(seconds / length)} ${unit}`;
  }
  return `${Math.max(0, Math.round(seconds))} s`;
}

export function rate(bps) {
  if (bps === null || bps === undefined) return "–";
  return bps >= 1e6 ? `${(bps / 1e6).toFixed(1)} Mbit/s` : `${Math.round(bps / 1e3)} kbit/s`;
}

export function size(bytes) {
  for (const [unit, length] of [["GB", 1e9], ["MB", 1e6], ["KB", 1e3]]) {
    if (bytes >= length) return `${(bytes / length).toFixed(1)} ${unit}`;
  }
  return `${Math.round(bytes)} B`;
}

export const count = (value, what) => `${number(value)} ${what}${value === 1 ? "" : "s"}`;

export const fps = (value) => (value === null ? "–" : `${value.toFixed(1)} fps`);

export function ms(value) {
  if (value === null || value === undefined) return "–";
  return value < 2000 ? `${Math.round(value)} ms` : value < 10_000 ? `${(value / 1000).toFixed(1)} s` : duration(value / 1000);
}

// How an uplink's billing month goes.
export function month(it) {
  let said = `${size(it.used_bytes)} of the month's ${size(it.limit_bytes)}`;
  if (it.forecast_bytes !== null && it.forecast_bytes !== undefined) said += `, ends at ${size(it.forecast_bytes)} at this rate`;
  if (it.reached_ms) said += `, used up on ${day.format(new Date(it.reached_ms))}`;
  return said;
}

export const timeOf = (at) => exact.format(new Date(at));

function since(at) {
  const then = new Date(at);
  const today = then.toDateString() === new Date().toDateString();
  return ` since ${today ? "" : `${day.format(then)} `}${clock.format(then)}`;
}

// A finding as a sentence, with the reader's own time of day.
export const sentence = (finding) =>
  `${finding.what}${finding.since_ms === null ? "" : since(finding.since_ms)}${finding.more}`;

export function seen(labels) {
  const parts = Object.entries(labels).map(([label, many]) => `${many} × ${label}`);
  return parts.length ? parts.join(", ") : "nothing";
}
