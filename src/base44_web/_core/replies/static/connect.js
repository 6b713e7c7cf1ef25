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
const KEYS = ["base44_access_token", "token"]; // where the Base44 client keeps the user's token

/** Why connecting ended. `code`: blocked, signed-out, other-user, expired, offline, unavailable, not-found, or aborted. */
export class ConnectError extends Error {
  constructor(code, message = code) {
    super(message);
    this.name = "ConnectError";
    this.code = code;
  }
}

/**
 * Open the provider's window and wait until the user is connected. Call it inside a click, or the browser blocks it.
 *
 * @param {string} connector a name that the server has configured
 * @param {object} [options]
 * @param {string} [options.token] the user's token; default: the one that the Base44 client keeps on this page
 * @param {(state: "waiting" | "closed" | "offline" | "unavailable") => void} [options.onState] told while waiting
 * @param {AbortSignal} [options.signal] ends the waiting
 * @returns {Promise<void>} resolved when connected; rejected with a ConnectError
 */
export async function connectAppUser(connector, { token = storedToken(), onState, signal } = {}) {
  if (!token) throw new ConnectError("signed-out");
  const popup = openPopup();
  try {
    const { redirect_url: url } = await call(`connect/${encodeURIComponent(connector)}`, { method: "POST", token, signal });
    if (url === null) return popup.close();
    if (typeof url !== "string") throw new ConnectError("unavailable");
    popup.location.replace(url);
  } catch (error) {
    popup.close();
    throw error;
  }
  const check = () => {
    const stored = storedToken();
    if (stored && stored !== token) throw new ConnectError("other-user");
  };
  await untilConnected(connector, { token, popup, onState, signal, check });
}

/** Whether the user is connected. */
export async function isConnected(connector, { token = storedToken(), user, signal } = {}) {
  const query = user ? `?user=${encodeURIComponent(user)}` : "";
  return (await call(`status/${encodeURIComponent(connector)}${query}`, { token, signal })).connected;
}

/** Disconnect the user; no error where nothing was connected. */
export async function disconnectAppUser(connector, { token = storedToken(), signal } = {}) {
  await call(`disconnect/${encodeURIComponent(connector)}`, { method: "DELETE", token, signal });
}

/** Begin a session on this server (its token source "session") with the user's token; pages of this origin only. */
export async function startSession(token = storedToken()) {
  if (!token) throw new ConnectError("signed-out");
  await call("session", { method: "POST", body: new URLSearchParams({ token }) });
}

/** End the session on this server. */
export async function endSession() {
  await call("session/logout", { method: "POST" });
}

function storedToken() {
  try {
    return KEYS.map((key) => localStorage.getItem(key)).find(Boolean) ?? null;
  } catch {
    return null; // storage is switched off
  }
}

function openPopup() {
  const popup = window.open("", `base44-${crypto.randomUUID?.() ?? Math.random()}`, "popup,width=560,height=720");
  if (!popup) throw new ConnectError("blocked");
  popup.opener = null; // the provider's page must not reach this one
  return popup;
}

const CODES = { 401: "signed-out", 404: "not-found", 409: "other-user" };

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
  throw new ConnectError(CODES[answer.status] ?? "unavailable", document?.detail);
}

async function untilConnected(connector, { token = null, user, popup, onState, signal, check }) {
  const end = Date.now() + LINK_LIFETIME;
  let state;
  const enter = (next) => {
    if (next !== state) onState?.((state = next));
  };
  enter("waiting");
  for (let pause = 1000; Date.now() < end; pause = Math.min(pause * 1.2, 5000)) {
    await sleep(pause, signal);
    check?.();
    try {
      // The window stays: without an opener it is not ours to close, and its page says that it can be closed.
      if (await isConnected(connector, { token, user, signal })) return;
      enter(popup.closed ? "closed" : "waiting");
    } catch (error) {
      if (error.code !== "offline" && error.code !== "unavailable") throw error;
      enter(error.code);
    }
  }
  throw new ConnectError("expired");
}

/** Sleep, or wake up as soon as the user comes back to this page. */
function sleep(ms, signal) {
  return new Promise((resolve, reject) => {
    const clean = () => {
      clearTimeout(timer);
      removeEventListener("focus", wake);
      signal?.removeEventListener("abort", abort);
    };
    const wake = () => (clean(), resolve());
    const abort = () => (clean(), reject(new ConnectError("aborted")));
    const timer = setTimeout(wake, ms);
    addEventListener("focus", wake);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted) abort();
  });
}

// --- the connect page

const page = document.querySelector("main[data-base44-connect]");
if (page) run(page);

function run(page) {
  const { base44Connect: connector, next } = page.dataset;
  let { user } = page.dataset;
  let token; // only where the server could not know the user
  let ready = performance.now() + INERT;
  let attempt = new AbortController();
  addEventListener("focus", () => (ready = Math.max(ready, performance.now() + INERT)));

  const show = (state) => {
    page.dataset.state = state;
    for (const part of page.querySelectorAll("[data-show]")) part.hidden = !part.dataset.show.split(" ").includes(state);
  };
  const say = (what) => {
    const words = page.querySelector(`template[data-say="${what}"]`);
    page.querySelector("[role=status]").replaceChildren(...(words ? [words.content.cloneNode(true)] : []));
  };
  const explain = (error) => say(page.querySelector(`template[data-say="${error.code}"]`) ? error.code : "unavailable");
  const arrive = () => {
    say("connected");
    // The server checked it; this page checks it again.
    const url = new URL(next, location.href);
    location.replace(next.startsWith("/") && url.origin === location.origin ? url : "/");
  };

  const connect = async (form) => {
    if (!user) return; // nobody whose account this page could name
    attempt.abort();
    attempt = new AbortController();
    show("waiting");
    const options = { onState: say, signal: attempt.signal };
    try {
      if (token) {
        if (storedToken() !== token) throw new ConnectError("other-user");
        await connectAppUser(connector, { token, ...options });
      } else {
        const popup = openPopup();
        // Into the window by its name: so the browser sends the form as ours, and this page never sees the URL.
        form.target = popup.name;
        form.submit();
        await untilConnected(connector, { user, popup, ...options });
      }
      arrive();
    } catch (error) {
      if (error.code === "aborted") return; // the next attempt has begun
      explain(error);
      show("start");
    }
  };

  page.addEventListener("submit", (event) => {
    const form = event.target;
    if (performance.now() < ready) return event.preventDefault();
    if (form.target) {
      event.preventDefault();
      connect(form);
    } else if (token) {
      event.preventDefault();
      disconnectAppUser(connector, { token }).then(() => (say(""), show("start")), explain);
    }
  });

  const meet = async () => {
    for (let pause = 1000; (token = storedToken()); pause = Math.min(pause * 1.5, 10_000)) {
      try {
        const found = await call(`connect/${encodeURIComponent(connector)}`, { token });
        ({ user } = found);
        page.querySelector("[data-account]").textContent = found.account;
        say("");
        return show(found.connected ? "connected" : "start");
      } catch (error) {
        if (error.code === "signed-out") return (token = null); // of somebody signed out: as if there were none
        explain(error);
        await sleep(pause);
      }
    }
  };
  if (!user) meet();
}
