// The page's frame: who looks, which view the address asks for, and whether what is shown is fresh.

import { get, login, logout, Poll } from "./api.js";
import { h, say } from "./dom.js";
import { duration, timeOf } from "./words.js";
import { CameraPage } from "./camera.js";
import { SitePage } from "./site.js";
import { SitesPage } from "./sites.js";
import { WorkersPage } from "./workers.js";

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const leave = document.getElementById("leave");
const fresh = document.getElementById("fresh");
const stale = document.getElementById("stale");
const STALE_MS = 6000;

let viewer = null;
let view = null;
let poll = null;
let heardAt = 0;
let trouble = "";

const NAME = "[a-z0-9][a-z0-9._-]{0,63}";
const ROUTES = [
  [/^#\/$|^$/, () => [new SitesPage(), "/v1/sites", 2000]],
  [new RegExp(`^#/site/(${NAME})$`), ([, site]) => [new SitePage(site), `/v1/sites/${site}`, 2000]],
  [
    new RegExp(`^#/camera/(${NAME})/(${NAME})$`),
    ([, site, camera]) => [new CameraPage(site, camera), `/v1/cameras/${site}/${camera}`, 1000],
  ],
  [/^#\/workers$/, () => [new WorkersPage(viewer), "/v1/sites", 2000]],
];

function close() {
  poll?.stop();
  view?.close?.();
  poll = view = null;
}

function show(move) {
  if (location.hash === "#main") return; // the link that skips the head
  close();
  if (!viewer) return;
  const found = ROUTES.map(([pattern, open]) => [location.hash.match(pattern), open]).find(([match]) => match);
  if (!found) {
    location.replace("#/");
    return;
  }
  const [match, open] = found;
  const [page, path, everyMs] = open(match);
  view = page;
  document.title = `${page.title} – fishladder`;
  for (const link of nav.children) {
    const here = link.hash === (location.hash === "#/workers" ? "#/workers" : "#/");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  main.replaceChildren(page.element);
  if (move) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  heardAt = Date.now();
  trouble = "";
  poll = new Poll(path, everyMs, got, failed);
  tell();
}

function got(document_) {
  heardAt = Date.now();
  trouble = "";
  view.update(document_);
  tell();
}

function failed(error) {
  if (error.status === 401) {
    viewer = null;
    close();
    ask(error.message);
    return;
  }
  if (error.status === 403 || error.status === 404) {
    view.missing?.(error.message);
    heardAt = Date.now();
  }
  trouble = error.status ? error.message : "the gateway cannot be reached";
  tell();
}

// Says plainly when what is shown is old.
function tell() {
  const ageMs = Date.now() - heardAt;
  const isStale = Boolean(viewer) && ageMs > STALE_MS;
  document.body.classList.toggle("is-stale", isStale);
  stale.hidden = !isStale;
  if (isStale) {
    say(stale, `Stale: no news for ${duration(ageMs / 1000)}${trouble ? `, ${trouble}` : ""}. This was so at ${timeOf(heardAt)}.`);
  }
  say(fresh, !viewer ? "" : isStale ? "stale" : trouble ? trouble : "up to date");
}
setInterval(tell, 1000);

function ask(why) {
  nav.hidden = leave.hidden = true;
  document.title = "Log in – fishladder";
  const error = h("p.error", { role: "alert" }, why ?? "");
  const token = h("input", {
    id: "token",
    type: "password",
    autocomplete: "current-password",
    required: true,
    spellcheck: "false",
  });
  const form = h(
    "form.login",
    {
      onsubmit: async (event) => {
        event.preventDefault();
        try {
          enter(await login(token.value));
        } catch (problem) {
          say(error, problem.status ? problem.message : "The gateway cannot be reached.");
          token.select();
        }
      },
    },
    h("h1", {}, "Log in"),
    h("label", { for: "token" }, "Token"),
    token,
    error,
    h("button", { type: "submit" }, "Show me"),
    h(
      "p.hint",
      {},
      "Whoever runs the gateway makes one, for a site or for all of them:",
      h("code", {}, ..."fishladder token create --site '*' --scope view".split(" ").flatMap((word) => [
        h("span.word", {}, word), " ",
      ])),
    ),
  );
  main.replaceChildren(form);
  token.focus();
  tell();
}

function enter(who) {
  viewer = who;
  nav.hidden = false;
  leave.hidden = !who.auth;
  show(false);
}

leave.addEventListener("click", async () => {
  close();
  viewer = null;
  try {
    await logout();
    ask();
  } catch {
    ask("The gateway could not be reached to forget the token; this browser still has it.");
  }
});
window.addEventListener("hashchange", () => show(true));
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view?.up && !event.defaultPrevented) location.hash = view.up;
});

try {
  enter(await get("/v1/session"));
} catch (error) {
  ask(error.status === 401 ? "" : error.status ? error.message : "The gateway cannot be reached.");
}
