// A function of an app, as the platform runs it: the relay, and beside it the reference client for the same request.
import { createClientFromRequest } from "@base44/sdk";

export function handler(relay, to) {
  return async (request) => {
    if (new URL(request.url).pathname !== "/functions/beside") return relay(request, to);
    const client = createClientFromRequest(request);
    const { accessToken } = await client.asServiceRole.connectors.getConnection("slack");
    const user = await client.auth.me().catch(() => null);
    return Response.json({ access_token: accessToken, email: user?.email ?? null });
  };
}
