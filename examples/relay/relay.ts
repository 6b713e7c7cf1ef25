// A Base44-hosted function that passes requests on to a Python server elsewhere, and signs what the platform says about
// them. So the server gets a service role for each request, which the platform gives only to code that it hosts.
//
// The server has platform_headers="signed", relay_keys={"<keyId>": "<secret>"} and relay_audience="<audience>".
// Signed is the path as it is sent from here, percent-decoded: a server that knows of a prefix which a proxy between
// takes away (--root-path, FORCE_SCRIPT_NAME) accepts it with that prefix and without.
//
// It runs under Deno, as on the platform, and under Node.js, whose fetch writes Sec-Fetch-Mode itself: what the server
// has for a person's browser (pages) it then answers as for a script.

export interface Relay {
  /** The server: an https origin (http on loopback), without a path. */
  origin: string;
  /** What comes before every path there, such as "/api"; empty for nothing. Not percent-encoded. */
  prefix: string;
  /** What comes before every path here, such as "/functions/relay"; empty for nothing. Not percent-encoded. */
  mount: string;
  /** What the server calls itself (relay_audience). */
  audience: string;
  /** 1 to 64 letters, digits, "_" and "-". */
  keyId: string;
  /** 32 bytes or more, random. */
  secret: string;
  /** Milliseconds until the server has begun to answer; 25,000 if it is left out. */
  timeout?: number;
  /** Bytes of a request's body, which is read before it is signed; 1 MiB if it is left out, as relay_max_body is. */
  maxBody?: number;
}

const SIGNATURE = "base44-relay-signature";
const SIGNED = [
  "authorization", "base44-app-id", "base44-api-url", "base44-service-authorization", "base44-functions-version",
  "base44-state", "x-data-env", "x-base44-app-url",
];
// RFC 9110 §7.6.1, and what the next hop sets itself.
const HOP_BY_HOP = [
  "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
  "transfer-encoding", "upgrade",
];
const NOT_SENT = new Set([...HOP_BY_HOP, "host", "content-length", "accept-encoding", "cookie", "expect", SIGNATURE]);
// They would speak for the whole app, or for the server's own origin.
const NOT_RETURNED = new Set([...HOP_BY_HOP, "set-cookie", "alt-svc", "clear-site-data", "strict-transport-security"]);
// What Node.js has decoded, though the header is still there; Deno decodes nothing that it did not ask for.
const DECODED = "Deno" in globalThis ? /^$/ : /^(gzip|x-gzip|deflate|br)$/i;
const LOOPBACK = ["127.0.0.1", "localhost", "[::1]"];
const MAX_PROBLEM = 65_536; // bytes
const CLOCKS = 300; // seconds that a signature is good for, either way

// --- what it is set to

/** @throws Error where the relay is set to what cannot work: call it as the function starts. */
export function checkRelay(to: Relay): void {
  const wrong = (name: string, why: string): never => {
    throw new Error(`The relay's ${name} ${why}.`);
  };
  let url: URL;
  try {
    url = new URL(to.origin);
  } catch {
    return wrong("origin", `is no URL: ${JSON.stringify(to.origin)}`);
  }
  if (url.protocol !== "https:" && !(url.protocol === "http:" && LOOPBACK.includes(url.hostname))) {
    wrong("origin", "must begin with https:// (http:// on loopback)");
  }
  if (url.pathname !== "/" || /[?#@\s]/.test(to.origin)) wrong("origin", `is an origin alone: ${url.origin}`);
  for (const name of ["prefix", "mount"] as const) {
    const path = to[name];
    if (path === "") continue;
    if (!path.startsWith("/") || path.endsWith("/")) {
      wrong(name, 'is empty, or begins with "/" and does not end with it');
    }
    if (/[\\%?#\s\p{Cc}]|\/\/|\/\.{1,2}(\/|$)/u.test(path)) wrong(name, "must be a plain path, not percent-encoded");
  }
  if (!to.audience) wrong("audience", "is empty");
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(to.keyId)) wrong("keyId", 'must be 1 to 64 letters, digits, "_" and "-"');
  if (new TextEncoder().encode(to.secret).length < 32) wrong("secret", "must have 32 bytes or more");
  for (const name of ["timeout", "maxBody"] as const) {
    const value = to[name];
    if (value !== undefined && !(Number.isFinite(value) && value > 0)) wrong(name, "must be a number above 0");
  }
}

const checked = new WeakSet<Relay>();

// --- paths, here and there

/** Where a request goes, or null where its path is none that two servers would read alike. */
export function target(request: Request, to: Relay): { url: URL; path: string } | null {
  const here = new URL(request.url);
  const mount = encoded(to.mount);
  if (!isWithin(here.pathname, mount)) return null;
  const url = new URL(to.origin);
  url.pathname = to.prefix + here.pathname.slice(mount.length) || "/";
  url.search = here.search;
  let path: string;
  try {
    path = decodeURIComponent(url.pathname);
  } catch {
    return null;
  }
  const dots = path.split(/[/\\]/).some((segment) => segment === "." || segment === "..");
  return isWithin(path, to.prefix) && !dots && !path.includes("\\") ? { url, path } : null;
}

const encoded = (path: string): string => (path ? new URL(path, "http://localhost").pathname : "");
const isWithin = (path: string, base: string): boolean => base === "" || path === base || path.startsWith(`${base}/`);

/** A path of the server's as it is here; null for one that does not come through here. */
function pathHere(path: string, to: Relay): string | null {
  const prefix = encoded(to.prefix);
  return isWithin(path, prefix) ? encoded(to.mount) + path.slice(prefix.length) || "/" : null;
}

/** An address that the server gives, as it is here: with the mount, and never with the server's own origin. */
function addressHere(address: string, sent: URL, to: Relay): string {
  if (!/^([a-z][a-z0-9+.-]*:|\/)/i.test(address)) return address; // relative: it leads to the same from here
  let url: URL;
  try {
    url = new URL(address, sent);
  } catch {
    return address;
  }
  if (url.host !== sent.host || !/^https?:$/.test(url.protocol)) return address;
  const query = url.search.slice(1).split("&").map((field) => {
    const found = /^next=([^&]*)$/.exec(field);
    if (!found) return field;
    try {
      const [, path = "", rest = ""] = /^([^?#]*)(.*)$/s.exec(decodeURIComponent(found[1].replaceAll("+", " "))) ?? [];
      const next = path.startsWith("/") && !path.startsWith("//") ? pathHere(path, to) : null;
      return next === null ? field : `next=${encodeURIComponent(next + rest).replaceAll("%2F", "/")}`;
    } catch {
      return field;
    }
  }).join("&");
  const path = pathHere(url.pathname, to);
  if (path === null) {
    // Nothing of the server's is out there, but it may be an address of the app.
    report("outside", `the server sends visitors to ${JSON.stringify(url.pathname)}, outside of RELAY_PREFIX`);
  }
  return `${(path ?? url.pathname).replace(/^\/{2,}/, "/")}${query && `?${query}`}${url.hash}`;
}

// --- what it says itself

const reported: Record<string, number> = {};

/** Tell the operator: of each kind once in ten seconds, for visitors can bring it about. */
function report(kind: string, what: string): void {
  if (Date.now() - (reported[kind] ?? 0) < 10_000) return;
  reported[kind] = Date.now();
  console.error(`base44 relay: ${what}`);
}

type More = Record<string, string>;

function problem(slug: string, status: number, title: string, detail: string, more: More = {}): Response {
  const document = { type: `urn:base44-web:${slug}`, title, status, detail };
  const headers = { "content-type": "application/problem+json", "cache-control": "no-store", ...more };
  return new Response(JSON.stringify(document), { status, headers });
}

const notHere = (): Response => problem("relay-path", 404, "There is nothing here", "No such path is passed on.");

function wrongMount(path: string, to: Relay): Response {
  const mount = JSON.stringify(to.mount);
  report("mount", `it was asked for ${JSON.stringify(path)}, and its mount is ${mount}: set RELAY_MOUNT`);
  const detail = `This relay is set to be at ${mount}, and was asked for another path.`;
  return problem("relay-mount", 404, "The relay is elsewhere", detail);
}

/** The server is at fault, for now. */
function upstream(status: number, what: string, why: string): Response {
  report("upstream", `the server ${what} (${why})`);
  const detail = `The server ${what}. Please try again in a moment.`;
  return problem("relay-upstream", status, "Not available right now", detail, { "retry-after": "5" });
}

/** The server does not believe this relay: that is nothing that a visitor could mend by signing in. */
function disbelieved(path: string, to: Relay, date: string | null): Response {
  const seconds = date === null ? NaN : Math.round((Date.now() - Date.parse(date)) / 1000);
  const clock = Math.abs(seconds) > CLOCKS ? `; the clocks differ by ${seconds} s` : "";
  report(
    "signature",
    `the server refuses its signature (path ${JSON.stringify(path)}, audience ${JSON.stringify(to.audience)}, ` +
      `key ${to.keyId}${clock}). Compare relay_keys, relay_audience, the clocks and the prefix; its log says more`,
  );
  return problem("relay-refused", 502, "Not available right now", "The server does not accept this relay.");
}

// --- the relay

/** At most so many octets of a stream; null where there are more. */
async function readAll(body: ReadableStream<Uint8Array> | null, most: number): Promise<Uint8Array<ArrayBuffer> | null> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  const reader = body?.getReader();
  for (let read = await reader?.read(); read && !read.done; read = await reader?.read()) {
    length += read.value.length;
    if (length > most) {
      reader?.cancel().catch(() => {});
      return null;
    }
    chunks.push(read.value);
  }
  const all = new Uint8Array(length);
  let at = 0;
  for (const chunk of chunks) {
    all.set(chunk, at);
    at += chunk.length;
  }
  return all;
}

const hex = (octets: ArrayBuffer | Uint8Array): string =>
  [...new Uint8Array(octets)].map((octet) => octet.toString(16).padStart(2, "0")).join("");

/** The signature of a request, for its header. */
async function sign(
  to: Relay, method: string, path: string, query: string, headers: Headers, body: Uint8Array<ArrayBuffer>,
): Promise<string> {
  const seconds = Math.floor(Date.now() / 1000);
  const nonce = hex(crypto.getRandomValues(new Uint8Array(16)));
  const signed = JSON.stringify([
    1, to.keyId, seconds, nonce, to.audience, method, path, query,
    hex(await crypto.subtle.digest("SHA-256", body)), ...SIGNED.map((name) => headers.get(name)),
  ]);
  const octets = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", octets.encode(to.secret), algorithm, false, ["sign"]);
  const signature = hex(await crypto.subtle.sign("HMAC", key, octets.encode(signed)));
  return `v=1;k=${to.keyId};t=${seconds};n=${nonce};s=${signature}`;
}

/** Pass a request on, signed. */
export async function relay(request: Request, to: Relay): Promise<Response> {
  if (!checked.has(to)) {
    checkRelay(to);
    checked.add(to);
  }
  const here = new URL(request.url).pathname;
  if (!isWithin(here, encoded(to.mount))) return wrongMount(here, to);
  const found = target(request, to);
  if (!found) return notHere();
  if (request.headers.has("upgrade") && request.headers.get("upgrade")?.toLowerCase() !== "h2c") {
    const detail = "No WebSocket comes through this relay: connect to the server itself.";
    return problem("relay-upgrade", 426, "Not through this relay", detail, { upgrade: "HTTP/1.1" });
  }
  const most = to.maxBody ?? 1_048_576;
  const bodyless = request.method === "GET" || request.method === "HEAD";
  let body: Uint8Array<ArrayBuffer> | null = null;
  try {
    const tooLong = Number(request.headers.get("content-length") ?? 0) > most;
    if (!tooLong) body = await readAll(bodyless ? null : request.body, most);
  } catch {
    return problem("bad-request", 400, "This request makes no sense", "Its body ended early.");
  }
  if (!body) return problem("too-large", 413, "This was too much", `A body has ${most} bytes at most.`);

  const connection = (request.headers.get("connection") ?? "").toLowerCase().split(",").map((name) => name.trim());
  const headers = new Headers();
  for (const [name, value] of request.headers) {
    // What is signed stays, whatever the client calls hop-by-hop: else it could have it dropped.
    if (!NOT_SENT.has(name) && (SIGNED.includes(name) || !connection.includes(name))) headers.append(name, value);
  }
  headers.set("accept-encoding", "identity"); // so that the length stays what it is
  const send = async (): Promise<Response> => {
    headers.set(SIGNATURE, await sign(to, request.method, found.path, found.url.search.slice(1), headers, body));
    return await sent(found.url, { method: request.method, headers, body: bodyless ? null : body }, to);
  };
  let answer = await send();
  if (await isTooEarly(answer)) answer = await send();
  return await returned(request, answer, found, to);
}

/** Whether it was signed before the server had made the store of what it has seen: it lets in nothing older. */
async function isTooEarly(answer: Response): Promise<boolean> {
  if (answer.status !== 400 || !answer.headers.has("retry-after")) return false;
  const octets = await readAll(answer.clone().body, MAX_PROBLEM).catch(() => null);
  return octets !== null && new TextDecoder().decode(octets).includes("urn:base44-web:bad-signature");
}

async function sent(url: URL, what: RequestInit, to: Relay): Promise<Response> {
  const slow = new AbortController();
  const timer = setTimeout(() => slow.abort(), to.timeout ?? 25_000);
  try {
    return await fetch(url, { ...what, redirect: "manual", signal: slow.signal });
  } catch (error) {
    const [status, what] = slow.signal.aborted ? [504, "took too long"] as const : [502, "cannot be reached"] as const;
    const why = error instanceof Error ? error.cause ?? error.message : error;
    return upstream(status, what, String(why));
  } finally {
    clearTimeout(timer);
  }
}

async function returned(
  request: Request, answer: Response, sent: { url: URL; path: string }, to: Relay,
): Promise<Response> {
  const decoded = DECODED.test(answer.headers.get("content-encoding") ?? "-");
  const headers = new Headers();
  for (const [name, value] of answer.headers) {
    if (NOT_RETURNED.has(name) || (decoded && (name === "content-encoding" || name === "content-length"))) continue;
    const address = name === "location" || name === "content-location";
    headers.append(name, address ? addressHere(value, sent.url, to) : value);
  }
  const { status } = answer;
  if ([101, 204, 205, 304].includes(status)) {
    await answer.body?.cancel();
    return new Response(null, { status: status === 101 ? 502 : status, headers });
  }
  const type = headers.get("content-type") ?? "";
  const small = Number(headers.get("content-length") ?? 0) <= MAX_PROBLEM;
  if (request.method === "HEAD" || !small || !/^application\/problem\+json(;|$)/i.test(type)) {
    return new Response(answer.body, { status, headers });
  }
  let octets: Uint8Array<ArrayBuffer> | null;
  try {
    octets = await readAll(answer.body, MAX_PROBLEM);
  } catch {
    octets = null;
  }
  if (octets === null) {
    return upstream(502, "gave a broken answer", `path ${JSON.stringify(sent.path)}`);
  }
  let document: unknown;
  try {
    document = JSON.parse(new TextDecoder().decode(octets));
  } catch {
    document = null;
  }
  const fields = typeof document === "object" && document !== null ? document as Record<string, unknown> : {};
  if (fields.type === "urn:base44-web:bad-signature") return disbelieved(sent.path, to, answer.headers.get("date"));
  if (fields.type !== "urn:base44-web:not-connected") return new Response(octets, { status, headers });
  for (const name of ["connect_url", "status_url"]) {
    const path = fields[name];
    if (typeof path === "string") fields[name] = addressHere(path, sent.url, to);
  }
  headers.delete("content-length");
  return new Response(JSON.stringify(fields), { status, headers });
}
