// The relay under Deno, as the platform runs it. As serve.mjs otherwise.
import { checkRelay, relay } from "../../examples/relay/relay.ts";
import { handler } from "./beside.mjs";

const relays = [JSON.parse(Deno.args[0])].flat();
relays.forEach(checkRelay);
const onListen = ({ port }: Deno.NetAddr) => console.log(port);
Deno.serve({ port: 0, hostname: "127.0.0.1", onListen }, handler(relay, relays));
for await (const _ of Deno.stdin.readable);
Deno.exit(0);
