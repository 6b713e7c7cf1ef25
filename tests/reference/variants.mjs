// Performs three calls per variant through the reference client: a JSON object from standard input, outcomes to standard
// output. Before each call the recorder is told which one comes. Nothing leaves this machine: what the client would send
// to any other origin than the recorder's goes to the last of these.
import { createClientFromRequest } from "@base44/sdk";
import axios from "axios";

let input = "";
for await (const chunk of process.stdin) input += chunk;
const { variants, origins } = JSON.parse(input);

const send = axios.getAdapter("http");
axios.defaults.proxy = false;
axios.defaults.adapter = (config) => {
  const { origin, protocol } = new URL(config.baseURL); // throws what axios would throw
  if (/^https?:$/.test(protocol) && !origins.includes(origin)) {
    config.baseURL = config.baseURL.replace(/^[^:]*:[/\\]*[^/\\?#]*/, origins.at(-1));
  }
  return send(config);
};

const CALLS = {
  me: (client) => client.auth.me(),
  connect: (client) => client.connectors.connectAppUser("x"),
  service: (client) => client.asServiceRole.connectors.getConnection("slack"),
};

const outcomes = [];
for (const [index, headers] of variants.entries()) {
  const outcome = {};
  for (const [name, call] of Object.entries(CALLS)) {
    await fetch(`${origins[0]}/mark/${index}/${name}`);
    let request;
    try {
      request = new Request("http://127.0.0.1/", { headers });
    } catch (error) {
      outcome[name] = { unholdable: error.message };
      continue;
    }
    try {
      await call(createClientFromRequest(request));
      outcome[name] = { result: true };
    } catch (error) {
      outcome[name] = { error: error.message };
    }
  }
  outcomes.push(outcome);
}
await fetch(`${origins[0]}/mark/-1/end`);
process.stdout.write(JSON.stringify(outcomes));
