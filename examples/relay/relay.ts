// A Base44-hosted function that passes requests on to a Python server elsewhere, and signs what the platform says about
// them. So the server gets a service role for each request, which the platform gives only to code that it hosts.
//
// The server has platform_headers="signed", relay_keys={"<keyId>": "<secret>"} and relay_audience="<audience>".

export interface Relay {
  /** The server, https. */
  origin: string;
  /** What comes before every path there, such as "/api"; empty for nothing. */
  prefix: string;
  /** What comes before every path here, such as "/functions/relay"; empty for nothing. */
  mount: string;
  /** What the server calls itself (relay_audience). */
  audience: string;
  keyId: string;
  /** 32 bytes or more, random. */
  secret: string;
}

const SIGNATURE = "base44-relay-signature";
const SIGNED = [
  "authorization", "base44-app-id", "base44-api-url", "base44-service-authorization", "base44-functions-version",
  "base44-state", "x-data-env", "x-base44-app-url",
];
// RFC 9110 §7.6.1, and what the next hop sets itself.
const DROPPED = new Set([
  "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
  "transfer-encoding", "upgrade", "host", "content-length", "accept-encoding", "cookie", SIGNATURE,
]);
// fetch has decoded the body; a cookie of the server would be set for the whole app.
const NOT_RETURNED = new Set([...DROPPED, "set-cookie", "content-encoding"]);

const hex = (octets: ArrayBuffer): string =>
  [...new Uint8Array(octets)].map((octet) => octet.toString(16).padStart(2, "0")).join("");

/** Where a request goes, or null where its path is none that two servers would read alike. */
export function target(request: Request, to: Relay): { url: URL; path: string } | null {
  const here = new URL(request.url);
  if (to.mount && here.pathname !== to.mount && !here.pathname.startsWith(`${to.mount}/`)) return null;
  const url = new URL(to.origin);
  if (url.protocol !== "https:" && !["127.0.0.1", "localhost", "[::1]"].includes(url.hostname)) return null;
  url.pathname = to.prefix + here.pathname.slice(to.mount.length) || "/";
  url.search = here.search;
  let path: string;
  try {
    path = decodeURIComponent(url.pathname);
  } catch {
    return null;
  }
  const within = path === to.prefix || path.startsWith(`${to.prefix}/`);
  const dots = path.split(/[/\\]/).some((segment) => segment === "." || segment === "..");
  return within && !dots && !path.includes("\\") ? { url, path } : null;
}

/** Pass a request on, signed. */
export async function relay(request: Request, to: Relay): Promise<Response> {
  const found = target(request, to);
  if (!found) return new Response("Not found", { status: 404 });
  const bodyless = request.method === "GET" || request.method === "HEAD";
  const body = bodyless ? new ArrayBuffer(0) : await request.arrayBuffer();
  const connection = (request.headers.get("connection") ?? "").toLowerCase().split(",").map((name) => name.trim());
  const headers = new Headers();
  for (const [name, value] of request.headers) {
    // What is signed stays, whatever the client calls hop-by-hop: else it could have it dropped.
    if (!DROPPED.has(name) && (SIGNED.includes(name) || !connection.includes(name))) headers.append(name, value);
  }
  const seconds = Math.floor(Date.now() / 1000);
  const nonce = hex(crypto.getRandomValues(new Uint8Array(16)).buffer);
  const signed = JSON.stringify([
    1, to.keyId, seconds, nonce, to.audience, request.method, found.path, found.url.search.slice(1),
    hex(await crypto.subtle.digest("SHA-256", body)), ...SIGNED.map((name) => headers.get(name)),
  ]);
  const octets = new TextEncoder();
  const algorithm = { name: "HMAC", hash: "SHA-256" };
  const key = await crypto.subtle.importKey("raw", octets.encode(to.secret), algorithm, false, ["sign"]);
  const signature = hex(await crypto.subtle.sign("HMAC", key, octets.encode(signed)));
  headers.set(SIGNATURE, `v=1;k=${to.keyId};t=${seconds};n=${nonce};s=${signature}`);

  const answer = await fetch(found.url, { method: request.method, headers, body: bodyless ? null : body, redirect: "manual" });
  const returned = new Headers();
  for (const [name, value] of answer.headers) {
    if (!NOT_RETURNED.has(name)) returned.append(name, value);
  }
  const empty = [101, 204, 205, 304].includes(answer.status);
  return new Response(empty ? null : answer.body, { status: answer.status, headers: returned });
}
