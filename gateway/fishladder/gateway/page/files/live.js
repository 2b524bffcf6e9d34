// The socket on which encoded pictures and results come. It is opened again when it closes; the gateway then begins with
// the newest picture a decoder can begin with.

import { get } from "./api.js";
import { readUnit } from "./units.js";

// What the gateway answers to who asks plainly for what is a WebSocket.
const WOULD_TAKE = [400, 426];
const BLOCKED =
  "No live pictures: the gateway is there, but the connection they come by (a WebSocket) does not get through. " +
  "A proxy or firewall on the way may block it. Figures are shown all the same; this page asks again by itself.";

export class LiveSocket {
  // `heard` may have unit(camera, unit), result(camera, message), skipped(count), state(open), and refused(why), which is
  // told "" when it is so no longer.
  constructor(cameras, cleanOnly, heard) {
    Object.assign(this, { cameras, cleanOnly, heard, closed: false, blocked: 0, delayMs: 500, offsetMs: 0 });
    // A page nobody looks at asks for nothing.
    this.shown = () => (document.hidden ? this.hang() : this.open());
    document.addEventListener("visibilitychange", this.shown);
    this.open();
  }

  open() {
    if (this.closed || this.socket || document.hidden) return;
    const { cameras } = this;
    const query = new URLSearchParams(cameras.map((camera) => ["camera", camera]));
    if (this.cleanOnly) query.set("pictures", "clean");
    const path = `/v1/live?${query}`;
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}${path}`);
    this.greeted = false;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.take(data, cameras);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.hang();
      if (cameras !== this.cameras) {
        this.open();
        return;
      }
      if (!this.greeted) this.askWhy(path);
      this.timer = setTimeout(() => this.open(), this.delayMs * (0.5 + Math.random()));
      this.delayMs = Math.min(this.delayMs * 2, 10_000);
    };
    this.socket = socket;
  }

  // From now on these cameras, once the gateway knows that nobody looks at the former: it would count both.
  watch(cameras) {
    this.cameras = cameras;
    this.socket?.close();
  }

  // A browser does not tell why a socket was refused. Where there is no room, the gateway says so if asked plainly; where
  // it would have taken one, again and again, somebody on the way does not let them through.
  async askWhy(path) {
    let why = "";
    try {
      await get(path);
    } catch (error) {
      if (error.status === 429) {
        why = `No live pictures for now: ${error.message}. Close what nobody looks at; this page asks again by itself.`;
      }
      this.blocked = WOULD_TAKE.includes(error.status) ? this.blocked + 1 : 0;
    }
    if (this.closed || this.greeted) return;
    this.heard.refused?.(why || (this.blocked >= 2 ? BLOCKED : ""));
  }

  take(data, cameras) {
    if (typeof data !== "string") {
      const unit = readUnit(data);
      this.clock(unit.received_us / 1000);
      this.heard.unit?.(cameras[unit.index], unit);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.delayMs = 500;
      this.offsetMs = -Infinity;
      this.clock(message.now_ms);
      this.greeted = true;
      this.blocked = 0;
      this.heard.refused?.("");
      this.heard.state?.(true);
    } else if (message.type === "result") {
      this.heard.result?.(cameras[message.index], message);
    } else if (message.type === "skipped") {
      this.heard.skipped?.(message.units);
    }
  }

  // What the gateway's clock showed when it sent this is at least as long ago as ours says: the latest tells most.
  clock(gatewayMs) {
    this.offsetMs = Math.max(this.offsetMs, gatewayMs - Date.now());
  }

  hang() {
    clearTimeout(this.timer);
    const socket = this.socket;
    this.socket = null;
    socket?.close();
    this.heard.state?.(false);
  }

  close() {
    this.closed = true;
    document.removeEventListener("visibilitychange", this.shown);
    this.hang();
  }
}
