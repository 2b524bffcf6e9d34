// Asks the gateway. The token is in a cookie no script can read; what is asked for here never carries it in an address.

export class Refused extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function answer(response) {
  if (response.ok) return response.status === 204 ? null : response.json();
  let message = response.statusText;
  try {
    message = (await response.json()).error;
  } catch {
    // not ours: a proxy's page, say
  }
  throw new Refused(response.status, message);
}

export const get = async (path) => answer(await fetch(path, { signal: AbortSignal.timeout(10_000) }));

export const login = async (token) =>
  answer(
    await fetch("/v1/session", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ token }),
      signal: AbortSignal.timeout(10_000),
    }),
  );

export const logout = async () => answer(await fetch("/v1/session", { method: "DELETE" }));

// Asks for `path` again and again while the page is looked at: `got(document)` each time, `failed(error)` otherwise.
export class Poll {
  constructor(path, everyMs, got, failed) {
    Object.assign(this, { path, everyMs, got, failed, stopped: false, timer: 0 });
    this.shown = () => document.hidden || this.again(0);
    document.addEventListener("visibilitychange", this.shown);
    this.again(0);
  }

  again(delayMs) {
    clearTimeout(this.timer);
    if (!this.stopped) this.timer = setTimeout(() => this.ask(), delayMs);
  }

  async ask() {
    if (document.hidden) return; // asked again when it is shown
    try {
      const document_ = await get(this.path);
      if (!this.stopped) this.got(document_);
    } catch (error) {
      if (!this.stopped) this.failed(error);
    }
    this.again(this.everyMs);
  }

  stop() {
    this.stopped = true;
    clearTimeout(this.timer);
    document.removeEventListener("visibilitychange", this.shown);
  }
}
