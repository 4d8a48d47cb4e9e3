// The cost of gravity=auto compared with a plain cover: medians of alternating requests to a separate server.
// usage: node bench/focus.mjs --program target/release/wholeplate --picture 12mp.jpg [--runs 40]
import { spawn } from "node:child_process";
import { once } from "node:events";
import { dirname, basename, resolve } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";

const { values } = parseArgs({ options: { program: { type: "string" }, picture: { type: "string" }, runs: { type: "string", default: "40" } } });
const picture = resolve(values.picture);
const server = spawn(values.program, ["serve", "--listen", "127.0.0.1:0", "--origin", dirname(picture)], { stdio: ["ignore", "pipe", "ignore"] });
try {
  let base;
  for await (const line of createInterface(server.stdout)) {
    base = line.match(/^listening on (http:\S+)/)?.[1];
    if (base) break;
  }
  const ask = async (gravity) => {
    const began = performance.now();
    const response = await fetch(`${base}/cdn-cgi/image/width=600,height=600,fit=cover,gravity=${gravity},format=jpeg/${basename(picture)}`);
    await response.arrayBuffer();
    if (response.status !== 200) throw new Error(`${response.status}`);
    return performance.now() - began;
  };
  const times = { center: [], auto: [], entropy: [] };
  for (let run = 0; run < Number(values.runs); run++) for (const [gravity, list] of Object.entries(times)) list.push(await ask(gravity));
  const median = (list) => list.sort((a, b) => a - b)[list.length >> 1];
  const plain = median(times.center);
  for (const [gravity, list] of Object.entries(times)) console.log(`${gravity.padEnd(8)} ${median(list).toFixed(1)} ms, ${(median(list) - plain).toFixed(1)} above center`);
} finally {
  server.kill();
  await once(server, "exit");
}
