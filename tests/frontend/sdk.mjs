// The reference client, called from outside: each line of standard input is a call, each line of output its outcome.
import { createInterface } from "node:readline";
import { createClient } from "@base44/sdk";

const log = console.log;
console.log = console.error = () => {}; // what the client itself says
let client;

const plain = async (value) => {
  if (value instanceof Response) return { status: value.status, text: await value.text() };
  if (value?.config && value.headers) return { status: value.status, data: value.data }; // a whole answer of axios
  if (value?.subscribe) return null; // a connection to an actor
  return typeof value === "function" ? null : (value ?? null);
};
// What no JSON can say.
const given = (value) => {
  if (value === "<callback>") return () => {};
  if (value?.file) return new File([value.content], value.file, { type: "text/plain" });
  if (value?.constructor !== Object) return value;
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, given(each)]));
};
// A part of a path: a name, or a call with one argument, as in `actors.Room(lobby).connect`.
const follow = (owner, part) => {
  const [, name, argument] = /^(\w+)(?:\((.*)\))?$/.exec(part);
  return argument === undefined ? owner[name] : owner[name](argument);
};

for await (const line of createInterface({ input: process.stdin })) {
  const { config, path, args } = JSON.parse(line);
  let outcome;
  try {
    if (config) client = createClient(config);
    const names = (path ?? "").split(".").filter(Boolean);
    const method = names.pop();
    const owner = names.reduce(follow, client);
    outcome = { result: method ? await plain(await owner[method](...(args ?? []).map(given))) : null };
  } catch (error) {
    const answer = error.response; // functions are called without the client's own errors
    outcome = { error: { status: error.status ?? answer?.status ?? null, code: error.code ?? null, message: error.message } };
  }
  log(JSON.stringify(outcome));
}
process.exit(0); // whatever sockets it still holds
