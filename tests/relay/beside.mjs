// A function of an app, as the platform runs it: relays by their mounts, and beside them the reference client.
import { createClientFromRequest } from "@base44/sdk";

export function handler(relay, relays) {
  return async (request) => {
    const { pathname } = new URL(request.url);
    if (pathname !== "/functions/beside") {
      return relay(request, relays.find(({ mount }) => pathname.startsWith(`${mount}/`)) ?? relays[0]);
    }
    const client = createClientFromRequest(request);
    const { accessToken } = await client.asServiceRole.connectors.getConnection("slack");
    const user = await client.auth.me().catch(() => null);
    return Response.json({ access_token: accessToken, email: user?.email ?? null });
  };
}
