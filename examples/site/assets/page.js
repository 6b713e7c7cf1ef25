// The single-page app: it sends the token that the Base44 client keeps to the server, and shows what comes back.

// Where the server is; empty where it serves this page itself.
const SERVER = document.querySelector("meta[name=server]").content;
const { connectAppUser, disconnectAppUser } = await import(`${SERVER}/base44/connect.js`);
const KEY = "base44_access_token"; // where the Base44 client keeps it
const $ = (id) => document.getElementById(id);
const say = (text) => {
  for (const place of document.querySelectorAll("[role=status]")) place.textContent = text;
};

const app = await (await fetch(`${SERVER}/app.json`)).json();
const emulated = new URL(app.server_url).hostname === "127.0.0.1";
$("host").textContent = SERVER && emulated ? "Base44, which hosts apps (here the emulator does)" : location.host;
$("server").textContent = new URL(SERVER || "/", location.href).host;
$("framework").textContent = app.framework;
$("demo").hidden = !emulated;
for (const words of document.querySelectorAll(".emulated")) words.hidden = !emulated;

async function api(path) {
  const answer = await fetch(SERVER + path, { headers: { Authorization: `Bearer ${localStorage.getItem(KEY)}` } });
  tell(path, answer.headers.get("Server-Timing") ?? "");
  const body = await answer.json();
  if (answer.status === 401) localStorage.removeItem(KEY);
  if (!answer.ok) throw Object.assign(new Error(body.detail), body);
  return body;
}

/** Tell what the server asked of the platform while it answered: its `Server-Timing` header says it. */
function tell(path, timing) {
  const request = $("request").content.cloneNode(true);
  request.querySelector("a").href = `${SERVER}/source#${path.slice(1)}`;
  const calls = [...timing.matchAll(/base44;dur=([\d.]+);desc="(\S+ \S+) (\S+) ([^"]*)"/g)];
  for (const part of request.querySelectorAll(calls.length ? ".fresh" : ".asked, ol")) part.remove();
  request.querySelector("code").textContent = `GET ${path}`;
  for (const [, ms, what, status, credentials] of calls) {
    const call = $("call").content.cloneNode(true);
    call.querySelector("code").textContent = what;
    call.querySelector(".status").textContent = status;
    call.querySelector(".ms").textContent = `${ms} ms`;
    call.querySelector(".sent").textContent = credentials.split(" ").map((name) => `${name}: ••••••`).join(" ");
    request.querySelector("ol").append(call);
  }
  $("requests").append(request);
}

async function show() {
  const signedIn = Boolean(localStorage.getItem(KEY));
  for (const [id, shown] of [["signed-out", !signedIn], ["signed-in", signedIn], ["account", signedIn]]) {
    $(id).hidden = !shown;
  }
  if (!signedIn) return;
  $("requests").replaceChildren();
  try {
    $("who").textContent = (await api("/me")).name;
    await showSlack();
    await showCalendar();
  } catch (error) {
    say(error.message);
    if (!localStorage.getItem(KEY)) await show(); // the server does not take the token any more
  }
}

async function showSlack() {
  let team = null;
  try {
    ({ team } = await api("/slack"));
  } catch {
    // The page is good without it.
  }
  $("slack").textContent = team;
  $("workspace").hidden = !team;
  $("no-workspace").hidden = Boolean(team);
}

async function showCalendar() {
  $("events").replaceChildren();
  for (const id of ["from", "connect", "disconnect"]) $(id).hidden = true;
  try {
    const { owner, events } = await api("/calendar");
    $("events").replaceChildren(...events.map(entry));
    $("owner").textContent = owner;
    $("from").hidden = $("disconnect").hidden = false;
    say("");
  } catch (error) {
    if (error.type !== "urn:base44-web:not-connected") throw error;
    $("connect").hidden = false;
    $("connect").dataset.page = error.connect_url;
  }
}

function entry([time, title]) {
  const item = document.createElement("li");
  for (const [name, text] of [["time", time || "all day"], ["title", title]]) {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    item.append(part);
  }
  return item;
}

$("sign-in").addEventListener("submit", async (event) => {
  event.preventDefault();
  // What the Base44 client's loginViaEmailPassword sends.
  const answer = await fetch(`${app.server_url}/api/apps/${app.app_id}/auth/login`, {
    method: "POST", headers: { "Content-Type": "application/json" },
    body: JSON.stringify(Object.fromEntries(new FormData(event.target))),
  });
  const body = await answer.json();
  if (!answer.ok) return say(body.detail);
  event.target.reset();
  say("");
  localStorage.setItem(KEY, body.access_token);
  await show();
  document.querySelector("#signed-in h1").focus();
});
$("sign-out").addEventListener("click", async () => {
  localStorage.removeItem(KEY);
  say("");
  await show();
  document.querySelector("#signed-out h1").focus();
});
$("disconnect").addEventListener("click", async () => {
  try {
    await disconnectAppUser("calendar");
    say("Google Calendar is disconnected.");
  } catch (error) {
    say(error.message);
  }
  await show();
});
const WORDS = {
  waiting: "Decide in the window that has opened. This page goes on by itself when Google Calendar is connected.",
  closed: "Google Calendar is not connected yet. If you refused or closed the window, try again.",
  blocked: "Your browser blocked the window. Allow windows for this site, and try again.",
  offline: "This page cannot reach the server. It goes on as soon as that works again.",
  unavailable: "This does not work at the moment. Please try again in a minute.",
  expired: "This took too long. Please try again.",
  "signed-out": "You are not signed in any more.",
  "other-user": "Another user has signed in meanwhile.",
};
let attempt = new AbortController();
$("connect").addEventListener("click", async () => {
  // The server's own page can do it all; a page of another origin does it here.
  if (!SERVER) return location.assign(`${$("connect").dataset.page}?next=${encodeURIComponent(location.pathname)}`);
  attempt.abort(); // who tries again has given up on the window before
  attempt = new AbortController();
  try {
    await connectAppUser("calendar", { onState: (state) => say(WORDS[state]), signal: attempt.signal });
    await show();
  } catch (error) {
    if (error.code !== "aborted") say(WORDS[error.code] ?? error.message);
  }
});
await show();
