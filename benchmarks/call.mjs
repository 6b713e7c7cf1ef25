// The reference client's row of call.py: told how many calls to make over how many callers, it answers with what a call
// took of the processor's time. A client for each call, as its `createClientFromRequest` is meant.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../tests/reference/run.mjs", import.meta.url));
const { createClientFromRequest } = await import(pathToFileURL(require.resolve("@base44/sdk")));
const { BENCHMARK_URL, BENCHMARK_TOKEN } = process.env;
const headers = {
  authorization: `Bearer ${BENCHMARK_TOKEN}`, "base44-app-id": "app", "base44-api-url": BENCHMARK_URL,
  "base44-service-authorization": "Bearer service",
};

async function calls(callers, times) {
  await Promise.all(Array.from({ length: callers }, async (_, caller) => {
    const connector = caller.toString(16).padStart(24, "0");
    for (let time = 0; time < times; time++) {
      const client = createClientFromRequest(new Request("http://127.0.0.1/", { headers }));
      const connection = await client.asServiceRole.connectors.getCurrentAppUserConnection(connector);
      if (!connection.accessToken) throw new Error("no token");
    }
  }));
}

console.log('"ready"');
for await (const line of createInterface({ input: process.stdin })) {
  const { callers, times } = JSON.parse(line);
  await calls(callers, 1);
  const before = process.cpuUsage();
  await calls(callers, times);
  const { user, system } = process.cpuUsage(before);
  console.log(JSON.stringify((user + system) / (callers * times)));
}
