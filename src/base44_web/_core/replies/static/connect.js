// Connects an app user to an outside service. Single-page apps import it, from this origin or another:
//
//   import { connectAppUser } from "https://server.example/base44/connect.js";
//   button.onclick = () => connectAppUser("calendar").then(show, explain);
//
// The connect page loads the same file. The provider returns to the platform, never to us: the status view alone
// decides when somebody is connected; that a window looks closed is a hint (a page in it can cut itself off).

const HERE = new URL(".", import.meta.url);
const LINK_LIFETIME = 600_000; // ms; the platform documents 10 minutes
const INERT = 500; // ms
const KEY = "base44_access_token"; // where the Base44 client keeps the user's token; "token" is anybody's on this origin

/** Why connecting ended. `code`: blocked, signed-out, other-user, expired, offline, unavailable, not-found, or aborted. */
export class ConnectError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = "ConnectError";
    this.code = code;
  }
}

/** @typedef {string | null | (() => string | null | Promise<string | null>)} Token a token, or what gives it each time */

/**
 * Open the provider's window and wait until the user is connected. Call it inside a click, or the browser blocks it.
 *
 * @param {string} connector a name that the server has configured
 * @param {object} [options]
 * @param {Token} [options.token] the user's token; default: the one that the Base44 client keeps on this page. That one
 *   may be renewed while this waits; when it is another user's, or gone, the waiting ends
 * @param {(state: "waiting" | "closed" | "offline" | "unavailable") => void} [options.onState] told while waiting;
 *   "closed": the window is closed, cannot be seen from here, or was left for this page: a hint, no more
 * @param {AbortSignal} [options.signal] ends the waiting
 * @returns {Promise<void>} resolved when connected; rejected with a ConnectError
 */
export async function connectAppUser(connector, { token = storedToken, onState, signal } = {}) {
  const first = read(token);
  if (!first) throw new ConnectError("signed-out");
  Promise.resolve(first).catch(() => {}); // heard below, if a window opens
  const popup = openPopup(); // at once: later would be too late for the browser
  let current;
  const now = async () => {
    const found = await read(token);
    if (!found) throw new ConnectError("signed-out");
    if (token === storedToken && found !== current && !(await sameUser(connector, current, found, signal))) {
      throw new ConnectError("other-user");
    }
    return (current = found);
  };
  try {
    current = await first;
    if (!(await start(connector, { token: now, popup, signal }))) return;
  } catch (error) {
    popup.close();
    throw error;
  }
  await untilConnected(connector, { token: now, popup, onState, signal });
}

/** Whether the user is connected. */
export async function isConnected(connector, { token = storedToken, user, signal } = {}) {
  return (await call(`status/${path(connector, user)}`, { token: await read(token), signal })).connected;
}

/** Disconnect the user; no error where nothing was connected. */
export async function disconnectAppUser(connector, { token = storedToken, user, signal } = {}) {
  await call(`disconnect/${path(connector, user)}`, { method: "DELETE", token: await read(token), signal });
}

/** Begin a session on this server (its token source "session") with the user's token; pages of this origin only. */
export async function startSession(token = storedToken) {
  const found = await read(token);
  if (!found) throw new ConnectError("signed-out");
  await call("session", { method: "POST", body: new URLSearchParams({ token: found }) });
}

/** End the session on this server. */
export async function endSession() {
  await call("session/logout", { method: "POST" });
}

const read = (token) => (typeof token === "function" ? token() : token);
const path = (connector, user) => encodeURIComponent(connector) + (user ? `?user=${encodeURIComponent(user)}` : "");

function storedToken() {
  try {
    return localStorage.getItem(KEY) || null;
  } catch {
    return null; // storage is switched off
  }
}

/** Whether two tokens are one user's. Their claims are a hint, good enough to go on waiting; else the server says. */
async function sameUser(connector, one, other, signal) {
  const [subject, another] = [one, other].map(subjectOf);
  if (subject && subject === another) return true;
  try {
    const asked = [one, other].map((token) => call(`connect/${path(connector)}`, { token, signal }));
    const [first, second] = await Promise.all(asked);
    return first.user === second.user;
  } catch (error) {
    if (error.code === "signed-out") return false; // nobody knows whose it was
    throw error;
  }
}

function subjectOf(token) {
  try {
    return JSON.parse(atob(token.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"))).sub;
  } catch {
    return undefined;
  }
}

/** Show the provider in a window; false where there is nothing to do. */
async function start(connector, { token, popup, signal }) {
  const ask = async () => {
    const answer = await call(`connect/${path(connector)}`, { method: "POST", token: await token(), signal });
    return answer.redirect_url;
  };
  let url = await ask();
  if (url === null) {
    if (await isConnected(connector, { token, signal })) return popup.close(), false;
    // The platform says "connected", and has no token to give: begin anew.
    await disconnectAppUser(connector, { token, signal });
    url = await ask();
  }
  if (typeof url !== "string") throw new ConnectError("unavailable");
  popup.location.replace(url);
  return true;
}

function openPopup() {
  const popup = window.open("", `base44-${crypto.randomUUID?.() ?? Math.random()}`, "popup,width=560,height=720");
  if (!popup) throw new ConnectError("blocked");
  popup.opener = null; // the provider's page must not reach this one
  return popup;
}

const CODES = { 401: "signed-out", 404: "not-found", 409: "other-user" };
const NOT_SET_UP = "urn:base44-web:connector-not-set-up"; // which no waiting mends

async function call(path, { method = "GET", token, body, signal } = {}) {
  const headers = { Accept: "application/json", ...(token && { Authorization: `Bearer ${token}` }) };
  const credentials = token ? "omit" : "same-origin";
  let answer;
  try {
    answer = await fetch(new URL(path, HERE), { method, headers, body, credentials, signal, cache: "no-store", redirect: "error" });
  } catch (error) {
    throw signal?.aborted ? new ConnectError("aborted") : new ConnectError("offline", String(error));
  }
  const document = await answer.json().catch(() => null); // a page in its place, or the network is lost half-way
  if (answer.ok && document) return document;
  if (signal?.aborted) throw new ConnectError("aborted");
  const code = document?.type === NOT_SET_UP ? "not-found" : CODES[answer.status];
  throw new ConnectError(code ?? "unavailable", document?.detail);
}

async function untilConnected(connector, { token, user, popup, onState, signal }) {
  const end = Date.now() + LINK_LIFETIME;
  let state;
  const enter = (next) => {
    if (next !== state) onState?.((state = next));
  };
  // Who comes back to this page has decided, has closed the window or has lost it; who leaves again may be in it.
  let back = false;
  const over = new AbortController();
  addEventListener("focus", () => (back = true), { signal: over.signal });
  addEventListener("blur", () => (back = false), { signal: over.signal });
  try {
    enter("waiting");
    for (let pause = 1000; Date.now() < end; pause = Math.min(pause * 1.2, 5000)) {
      await sleep(pause, signal);
      let used;
      try {
        used = await read(token);
        // The window stays: without an opener it is not ours to close, and its page says that it can be closed.
        if (await isConnected(connector, { token: used, user, signal })) return;
        enter(back || popup.closed ? "closed" : "waiting");
      } catch (error) {
        if (error.code === "signed-out" && used && (await read(token)) !== used) continue; // renewed meanwhile
        if (error.code !== "offline" && error.code !== "unavailable") throw error;
        enter(error.code);
      }
    }
  } finally {
    over.abort();
  }
  throw new ConnectError("expired");
}

/** Sleep, or wake up as soon as the user comes back to this page, or somebody signs in or out in another. */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const clean = () => {
      clearTimeout(timer);
      removeEventListener("focus", wake);
      removeEventListener("storage", wake);
      signal?.removeEventListener("abort", abort);
    };
    const wake = () => (clean(), resolve());
    const abort = () => (clean(), reject(new ConnectError("aborted")));
    const timer = setTimeout(wake, ms);
    addEventListener("focus", wake);
    addEventListener("storage", wake);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });
}

// --- the connect page

const page = document.querySelector("main[data-base44-connect]");
if (page) run(page);

function run(page) {
  const { base44Connect: connector, next } = page.dataset;
  const byCookie = Boolean(page.dataset.user); // else only this script knows the user, by the token
  let { user } = page.dataset;
  let token = null;
  let ready = performance.now() + INERT;
  let tried = false;
  let attempt = new AbortController();
  addEventListener("focus", () => (ready = Math.max(ready, performance.now() + INERT)));

  // Some link brought it along. It is nobody's here, and should not stay where it is seen and copied.
  const fields = location.search.slice(1).split("&");
  const kept = fields.filter((field) => !new URLSearchParams(field).has("access_token"));
  if (kept.length < fields.length) {
    const query = kept.length ? `?${kept.join("&")}` : "";
    history.replaceState(history.state, "", location.pathname + query + location.hash);
  }

  const show = (state) => {
    page.dataset.state = state;
    for (const part of page.querySelectorAll("[data-show]")) part.hidden = !part.dataset.show.split(" ").includes(state);
  };
  show(page.dataset.state); // with what only a script can do
  const say = (what) => {
    const words = page.querySelector(`template[data-say="${what}"]`);
    page.querySelector("[role=status]").replaceChildren(...(words ? [words.content.cloneNode(true)] : []));
  };
  /** Say why something ended, and show what can be done now. */
  const explain = (error, state) => {
    say(page.querySelector(`template[data-say="${error.code}"]`) ? error.code : "unavailable");
    if (error.code === "signed-out") user = "";
    show({ "signed-out": "sign-in", "not-found": "gone" }[error.code] ?? state);
  };
  const arrive = () => {
    say("connected");
    // The server checked it; this page checks it again.
    const url = new URL(next, location.href);
    location.replace(url.origin === location.origin ? url : "/");
  };

  /** The token to ask with now: null where the browser's cookie speaks. It may be renewed, but stays this user's. */
  const now = async () => {
    if (byCookie) return null;
    const found = storedToken();
    if (!found) throw new ConnectError("signed-out");
    if (found !== token) {
      const { user: whose } = await call(`connect/${path(connector)}`, { token: found });
      if (whose !== user) throw new ConnectError("other-user");
      token = found;
    }
    return found;
  };

  const connect = async (form, again) => {
    if (!user) return; // nobody whose account this page could name
    attempt.abort();
    const { signal } = (attempt = new AbortController());
    let left = page.dataset.state === "connected" ? "connected" : "start";
    let popup;
    let started = false;
    try {
      popup = openPopup();
      show("waiting");
      say("waiting");
      // Who tries again may be stuck: connected for the platform, and without a token that anybody could use.
      if (again || tried) await disconnectAppUser(connector, { token: now, user, signal });
      left = "start";
      tried = true;
      if (byCookie) {
        // Into the window by its name: so the browser sends the form as ours, and this page never sees the URL.
        form.target = popup.name;
        form.submit();
      } else if (!(await start(connector, { token: now, popup, signal }))) {
        return arrive();
      }
      started = true;
      await untilConnected(connector, { token: now, user, popup, onState: say, signal });
      arrive();
    } catch (error) {
      if (!started) popup?.close(); // from then on it is the provider's
      if (error.code !== "aborted") explain(error, left); // else the next attempt has begun
    }
  };

  const disconnect = async () => {
    try {
      await disconnectAppUser(connector, { token: now, user });
      say("");
      show("start");
    } catch (error) {
      explain(error, page.dataset.state);
    }
  };

  let byKeyboard = false;
  let later;
  const submit = (form) => {
    clearTimeout(later);
    if (form.dataset.again !== undefined) connect(page.querySelector("form[target]"), true);
    else if (form.target) connect(form, false);
    else if (byCookie) form.submit();
    else disconnect();
  };
  page.addEventListener("click", (event) => (byKeyboard = event.isTrusted && event.detail === 0), true);
  page.addEventListener("submit", (event) => {
    event.preventDefault();
    const form = event.target;
    clearTimeout(later);
    // A key was pressed by somebody who reads the page: that waits. A click could be meant for what was here before.
    const when = () => {
      if (performance.now() >= ready) submit(form);
      else if (byKeyboard && document.hasFocus()) later = setTimeout(when, Math.max(ready - performance.now(), 10));
    };
    when();
  });

  /** Learn from the server whose token this browser has. */
  let meeting = 0;
  const meet = async () => {
    const mine = ++meeting;
    for (let pause = 1000; ; pause = Math.min(pause * 1.5, 10_000)) {
      const found = storedToken();
      if (!found) return user ? explain(new ConnectError("signed-out")) : show("sign-in");
      try {
        const answer = await call(`connect/${path(connector)}`, { token: found });
        if (mine !== meeting) return;
        token = found;
        ({ user } = answer);
        page.querySelector("[data-account]").textContent = answer.account;
        say("");
        return show(answer.connected ? "connected" : "start");
      } catch (error) {
        if (mine !== meeting) return;
        if (error.code === "signed-out" && !user) return show("sign-in"); // of somebody signed out: as if there were none
        explain(error, page.dataset.state);
        if (error.code === "signed-out" || error.code === "not-found") return;
        await sleep(pause);
      }
    }
  };
  if (!byCookie) {
    meet();
    // While it waits, the waiting notices by itself.
    addEventListener("storage", ({ key }) => {
      if ((key === KEY || key === null) && page.dataset.state !== "waiting") meet();
    });
  } else {
    // Somebody has signed in again in another tab.
    addEventListener("focus", () => {
      if (page.dataset.state !== "sign-in") return;
      const asked = call(`status/${path(connector)}`);
      asked.then(() => location.reload(), (error) => error.code === "other-user" && location.reload());
    });
  }
}
