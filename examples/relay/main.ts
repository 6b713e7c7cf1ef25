// The function itself: deploy it with relay.ts beside it, and set the secrets.
import { relay } from "./relay.ts";

const need = (name: string): string => {
  const value = Deno.env.get(name);
  if (!value) throw new Error(`Set ${name}.`);
  return value;
};

const to = {
  origin: need("RELAY_ORIGIN"), // https://api.example.com
  prefix: Deno.env.get("RELAY_PREFIX") ?? "",
  mount: Deno.env.get("RELAY_MOUNT") ?? "",
  audience: need("RELAY_AUDIENCE"),
  keyId: need("RELAY_KEY_ID"),
  secret: need("RELAY_SECRET"),
};

Deno.serve((request: Request) => relay(request, to));
