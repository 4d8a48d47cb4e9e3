// The binding's wire protocol, byte for byte as the Workers runtime sends it: chunked multipart over a
// Unix socket, lower-case part headers, no types.
import { request } from "node:http";

export const boundary = "--------------------------508229419013236711741662";

/** One part; a Buffer is a file part, anything else a string part. */
export function part(name, value) {
  const file = Buffer.isBuffer(value) ? `; filename="${name}"` : "";
  return Buffer.concat([Buffer.from(`--${boundary}\r\ncontent-disposition: form-data; name="${name}"${file}\r\n\r\n`), Buffer.from(value), Buffer.from("\r\n")]);
}

/** A whole body of parts: `[[name, value], ...]`. */
export const body = (parts) => Buffer.concat([...parts.map(([n, v]) => part(n, v)), Buffer.from(`--${boundary}--\r\n`)]);

/** Posts to the binding route; `chunks` are written one by one, so that each is a separate HTTP chunk. */
export function post(socketPath, path, chunks, { agent, headers = {} } = {}) {
  return new Promise((done, fail) => {
    const out = request({ socketPath, path, method: "POST", agent, headers: {
      host: "js.images.cloudflare.com", "content-type": `multipart/form-data; boundary=${boundary}`, "transfer-encoding": "chunked", ...headers } }, (answer) => {
      const pieces = [];
      answer.on("data", (d) => pieces.push(d));
      answer.on("error", fail);
      answer.on("end", () => done({ status: answer.statusCode, headers: answer.headers, body: Buffer.concat(pieces) }));
    });
    out.on("error", fail);
    for (const chunk of Array.isArray(chunks) ? chunks : [chunks]) out.write(chunk);
    out.end();
  });
}

/** `/transform` with an image, its steps and an output format. */
export function transform(server, image, steps, format, fields = []) {
  return post(server.socket, "/transform", body([
    ["image", image], ["transforms", JSON.stringify(steps.map((s) => ({ imageIndex: 0, ...s })))], ["output_format", format], ...fields]));
}
