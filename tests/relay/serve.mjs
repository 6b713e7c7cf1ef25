// The relay under Node.js. Its settings, or those of several, are the first argument; it writes its port, and ends with
// its standard input.
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { handler } from "./beside.mjs";

const source = readFileSync(new URL("../../examples/relay/relay.ts", import.meta.url), "utf8");
const hash = createHash("sha256").update(source).digest("hex");
const compiled = new URL(`./node_modules/.cache/relay-${hash}.mjs`, import.meta.url);
if (!existsSync(compiled)) {
  const { default: typescript } = await import("typescript"); // takes longer to load than all else here
  const { outputText, diagnostics } = typescript.transpileModule(source, {
    compilerOptions: { target: "ES2022", module: "ES2022", strict: true }, reportDiagnostics: true,
  });
  if (diagnostics.length) throw new Error(JSON.stringify(diagnostics.map((each) => each.messageText)));
  mkdirSync(new URL(".", compiled), { recursive: true });
  const own = new URL(`${compiled}.${process.pid}`);
  writeFileSync(own, outputText);
  renameSync(own, compiled); // whole, or not there: several begin at once
}
const { checkRelay, relay } = await import(compiled);
const relays = [JSON.parse(process.argv[2])].flat();
relays.forEach(checkRelay);
const answerFor = handler(relay, relays);

const server = createServer(async (incoming, outgoing) => {
  const headers = new Headers();
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    const [name, value] = incoming.rawHeaders.slice(index, index + 2);
    try { headers.append(name, value); } catch { /* no header of fetch's */ }
  }
  const left = new AbortController();
  outgoing.on("close", () => left.abort());
  const body = ["GET", "HEAD"].includes(incoming.method) ? undefined : Readable.toWeb(incoming);
  const url = `http://app.example${incoming.url}`;
  const request = new Request(url, { method: incoming.method, headers, body, duplex: "half", signal: left.signal });
  const answer = await answerFor(request).catch((error) => new Response(String(error), { status: 500 }));
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  outgoing.flushHeaders();
  if (answer.body) await pipeline(Readable.fromWeb(answer.body), outgoing).catch(() => {});
  else outgoing.end();
});
server.on("upgrade", (incoming, socket) => {
  // Node.js would close what asks for an upgrade; the platform passes it on as it is.
  const headers = new Headers(Object.entries(incoming.headers).filter(([, value]) => typeof value === "string"));
  const request = new Request(`http://app.example${incoming.url}`, { headers });
  answerFor(request).then(async (answer) => {
    const lines = [...answer.headers].map(([name, value]) => `${name}: ${value}\r\n`).join("");
    socket.end(`HTTP/1.1 ${answer.status} \r\n${lines}connection: close\r\n\r\n${await answer.text()}`);
  });
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
