// Performs calls through the reference client: each line of standard input is a case, and is answered with its outcome.
import { createInterface } from "node:readline";

import { createClientFromRequest } from "@base44/sdk";

const METHODS = {
  get_connection: (client, [type]) => client.asServiceRole.connectors.getConnection(type),
  get_workspace_connection: (client, [id]) => client.asServiceRole.connectors.getWorkspaceConnection(id),
  get_current_app_user_connection: (client, [id]) => client.asServiceRole.connectors.getCurrentAppUserConnection(id),
  get_access_token: (client, [type]) => client.asServiceRole.connectors.getAccessToken(type),
  get_current_app_user_access_token: (client, [id]) => client.asServiceRole.connectors.getCurrentAppUserAccessToken(id),
  call_api: (client, [type, request]) => client.asServiceRole.connectors.callApi(type, request),
  connect_app_user: (client, [id]) => client.connectors.connectAppUser(id),
  disconnect_app_user: (client, [id]) => client.connectors.disconnectAppUser(id),
  user: (client) => client.auth.me(),
};

for await (const line of createInterface({ input: process.stdin })) {
  const { headers, method, args } = JSON.parse(line);
  let outcome;
  try {
    const client = createClientFromRequest(new Request("http://127.0.0.1/", { headers }));
    outcome = { result: (await METHODS[method](client, args)) ?? null };
  } catch (error) {
    const { status = null, code = null, message, data = null } = error;
    outcome = { error: { status, code, message, data, kind: error.name } };
  }
  console.log(JSON.stringify(outcome));
}
