// The relay under Node.js, as the platform's Deno runtime would run it. Its settings are the first argument.
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import typescript from "typescript";

const source = readFileSync(new URL("../../examples/relay/relay.ts", import.meta.url), "utf8");
const { outputText, diagnostics } = typescript.transpileModule(source, {
  compilerOptions: { target: "ES2022", module: "ES2022", strict: true }, reportDiagnostics: true,
});
if (diagnostics.length) throw new Error(JSON.stringify(diagnostics.map((each) => each.messageText)));
const { relay } = await import(`data:text/javascript;base64,${Buffer.from(outputText).toString("base64")}`);
const to = JSON.parse(process.argv[2]);

const server = createServer(async (incoming, outgoing) => {
  const chunks = [];
  for await (const chunk of incoming) chunks.push(chunk);
  const headers = new Headers();
  for (let index = 0; index < incoming.rawHeaders.length; index += 2) {
    try { headers.append(incoming.rawHeaders[index], incoming.rawHeaders[index + 1]); } catch { /* no header of fetch's */ }
  }
  const bodyless = ["GET", "HEAD"].includes(incoming.method);
  const url = `http://app.example${incoming.url}`;
  const request = new Request(url, { method: incoming.method, headers, body: bodyless ? undefined : Buffer.concat(chunks) });
  const answer = await relay(request, to).catch((error) => new Response(String(error), { status: 502 }));
  outgoing.writeHead(answer.status, Object.fromEntries(answer.headers));
  outgoing.end(Buffer.from(await answer.arrayBuffer()));
});
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
process.stdin.on("end", () => process.exit(0)).resume();
