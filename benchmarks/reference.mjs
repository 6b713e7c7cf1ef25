// What guarded.py's views do, with the reference client: the user and their connection, for each request.
import http from "node:http";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(new URL("../tests/reference/run.mjs", import.meta.url));
const { createClientFromRequest } = await import(pathToFileURL(require.resolve("@base44/sdk")));
const { env } = process;

http.createServer(async (request, response) => {
  const headers = {
    authorization: request.headers.authorization, "base44-app-id": env.BASE44_APP_ID,
    "base44-api-url": env.BASE44_SERVER_URL, "base44-service-authorization": `Bearer ${env.BASE44_SERVICE_TOKEN}`,
  };
  try {
    const client = createClientFromRequest(new Request("http://127.0.0.1/", { headers }));
    const [, connection] = await Promise.all([
      client.auth.me(), client.asServiceRole.connectors.getCurrentAppUserConnection(env.CONNECTOR),
    ]);
    response.writeHead(connection.accessToken ? 200 : 500).end("x");
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}).listen(Number(env.PORT), "127.0.0.1");
