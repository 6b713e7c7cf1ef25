// The function itself: deploy it with relay.ts beside it, and set the secrets.
import { checkRelay, relay } from "./relay.ts";

const need = (name: string): string => {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Set ${name}.`);
  return value;
};

// Guessed wrong, every path would be one that the server does not have: nothing would say why.
const mount = Deno.env.get("RELAY_MOUNT");
if (mount === undefined) {
  throw new Error("Set RELAY_MOUNT: the path that this function is at, /functions/relay; empty for nothing.");
}

const to = {
  origin: need("RELAY_ORIGIN"), // https://api.example.com
  prefix: Deno.env.get("RELAY_PREFIX") ?? "", // /api
  mount,
  audience: need("RELAY_AUDIENCE"),
  keyId: need("RELAY_KEY_ID"),
  secret: need("RELAY_SECRET"),
};
checkRelay(to); // what cannot work shows now, and not at the first visitor's

Deno.serve((request: Request) => relay(request, to));
