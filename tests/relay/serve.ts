// The relay under Deno, as the platform runs it. As serve.mjs otherwise.
import { checkRelay, relay } from "../../examples/relay/relay.ts";
import { handler } from "./beside.mjs";

const to = JSON.parse(Deno.args[0]);
checkRelay(to);
const onListen = ({ port }: Deno.NetAddr) => console.log(port);
Deno.serve({ port: 0, hostname: "127.0.0.1", onListen }, handler(relay, to));
for await (const _ of Deno.stdin.readable);
Deno.exit(0);
