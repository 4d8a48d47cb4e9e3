// A collector of spans: OTLP over HTTP; JSON is parsed, protobuf is kept as bytes.
import { createServer } from "node:http";
import { gunzipSync } from "node:zlib";

const value = (v) => v.stringValue ?? v.boolValue ?? v.doubleValue ?? Number(v.intValue);
const attributes = (list) => Object.fromEntries((list ?? []).map((a) => [a.key, value(a.value)]));

/** Starts a collector; `url` is for OTEL_EXPORTER_OTLP_ENDPOINT. */
export async function startCollector() {
  const spans = [], requests = [];
  let waiting = [];
  const server = createServer(async (request, answer) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    let body = Buffer.concat(pieces);
    if (request.headers["content-encoding"] === "gzip") body = gunzipSync(body);
    requests.push({ path: request.url, headers: request.headers, body });
    if (request.headers["content-type"] === "application/json") {
      for (const { resource, scopeSpans } of JSON.parse(body).resourceSpans) {
        for (const span of scopeSpans.flatMap((s) => s.spans)) {
          spans.push({ ...span, attributes: attributes(span.attributes), resource: attributes(resource.attributes) });
        }
      }
    }
    answer.writeHead(200, { "content-type": request.headers["content-type"] }).end(request.headers["content-type"] === "application/json" ? "{}" : "");
    waiting = waiting.filter((look) => !look());
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${server.address().port}`,
    requests,
    /** Resolves with the spans of a trace as soon as `enough(spans)` is true. */
    trace(id, enough) {
      return new Promise((done) => {
        const look = () => {
          const found = spans.filter((s) => s.traceId === id);
          const ready = enough(found);
          if (ready) done(found);
          return ready;
        };
        if (!look()) waiting.push(look);
      });
    },
    async close() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}
