// The socket on which encoded pictures and results come. It is opened again when it closes; the gateway then begins with
// the newest picture a decoder can begin with.

import { readUnit } from "./units.js";

export class LiveSocket {
  // `heard` may have unit(camera, unit), result(camera, message), skipped(count), state(open).
  constructor(cameras, cleanOnly, heard) {
    Object.assign(this, { cameras, cleanOnly, heard, closed: false, delayMs: 500, offsetMs: 0 });
    // A page nobody looks at asks for nothing.
    this.shown = () => (document.hidden ? this.hang() : this.open());
    document.addEventListener("visibilitychange", this.shown);
    this.open();
  }

  open() {
    if (this.closed || this.socket || document.hidden) return;
    const query = new URLSearchParams(this.cameras.map((camera) => ["camera", camera]));
    if (this.cleanOnly) query.set("pictures", "clean");
    const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/v1/live?${query}`);
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => this.take(data);
    socket.onclose = () => {
      if (this.socket !== socket) return;
      this.hang();
      this.timer = setTimeout(() => this.open(), this.delayMs * (0.5 + Math.random()));
      this.delayMs = Math.min(this.delayMs * 2, 10_000);
    };
    this.socket = socket;
  }

  take(data) {
    if (typeof data !== "string") {
      const unit = readUnit(data);
      this.heard.unit?.(this.cameras[unit.index], unit);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.delayMs = 500;
      this.offsetMs = message.now_ms - Date.now();
      this.heard.state?.(true);
    } else if (message.type === "result") {
      this.heard.result?.(this.cameras[message.index], message);
    } else if (message.type === "skipped") {
      this.heard.skipped?.(message.units);
    }
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
