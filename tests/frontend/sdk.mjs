// The reference client, called from outside: each line of standard input is a call, each line of output its outcome.
import { createInterface } from "node:readline";
import { createClient } from "@base44/sdk";

const log = console.log;
console.log = console.error = () => {}; // what the client itself says
let client;

const plain = async (value) => {
  if (value instanceof Response) return { status: value.status, text: await value.text() };
  if (value?.config && value.headers) return { status: value.status, data: value.data }; // a whole answer of axios
  return typeof value === "function" ? null : (value ?? null);
};

for await (const line of createInterface({ input: process.stdin })) {
  const { config, path, args } = JSON.parse(line);
  let outcome;
  try {
    if (config) client = createClient(config);
    const names = (path ?? "").split(".").filter(Boolean);
    const method = names.pop();
    const owner = names.reduce((each, name) => each[name], client);
    const given = args?.map((each) => (each === "<callback>" ? () => {} : each)) ?? [];
    outcome = { result: method ? await plain(await owner[method](...given)) : null };
  } catch (error) {
    const answer = error.response; // functions are called without the client's own errors
    outcome = { error: { status: error.status ?? answer?.status ?? null, code: error.code ?? null, message: error.message } };
  }
  log(JSON.stringify(outcome));
}
process.exit(0); // whatever sockets it still holds
