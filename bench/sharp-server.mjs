// A minimal server on sharp: reads a file, runs the pipeline of a benchmark row, responds. Its paths are /<row>/<file>?n=...
import { createServer } from "node:http";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import sharp from "sharp";
import { rows } from "./rows.mjs";

sharp.cache(false);
const folder = process.argv[2];
createServer(async (request, response) => {
  try {
    const [, row, file] = new URL(request.url, "http://x").pathname.split("/");
    const body = await rows[Number(row)].sharp(sharp(await readFile(join(folder, file)), { animated: Boolean(rows[Number(row)].animated) })).toBuffer();
    response.writeHead(200, { "content-length": body.length }).end(body);
  } catch (error) {
    response.writeHead(500).end(String(error));
  }
}).listen(0, "127.0.0.1", function () { console.log(`listening on http://127.0.0.1:${this.address().port}`); });
