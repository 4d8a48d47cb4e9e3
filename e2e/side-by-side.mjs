// Makes the pictures of docs/workers.md: one Worker, once on Miniflare's own emulation and once on Wholeplate.
// usage: node side-by-side.mjs [FOLDER]     writes NAME-emulation and NAME-wholeplate files; default ../docs/workers
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import { join, resolve } from "node:path";
import { startMiniflare } from "./lib/miniflare.mjs";
import { startWholeplate } from "./lib/server.mjs";
import { ask, script } from "./lib/worker-script.mjs";

const demo = (name) => readFile(resolve(import.meta.dirname, "../demo", name));
const font = createServer(async (_, answer) => answer.end(await readFile(join(import.meta.dirname, "node_modules/dejavu-fonts-ttf/ttf/DejaVuSans-Bold.ttf"))));
await new Promise((done) => font.listen(0, "127.0.0.1", done));
const text = (content, size) => ({ text: content, options: { font: { url: `http://127.0.0.1:${font.address().port}/font.ttf` }, size, color: "#ffffff" } });

const images = { lake: await demo("lake.jpg"), mark: await demo("mark.png"), planet: await demo("planet.gif") };
const webp = { format: "image/webp", quality: 70 };
const recipes = {
  draw: { canvas: { image: "lake", steps: [{ width: 320 }, { draw: { image: "mark", steps: [{ width: 90 }] }, with: { right: 10, bottom: 10, opacity: 0.9 } }, { draw: { image: "mark", steps: [{ width: 24 }] }, with: { repeat: "x", top: 6, left: 6 } }] }, output: webp },
  text: { canvas: { image: "lake", steps: [{ width: 320 }, { draw: text("Wholeplate", 36), with: { bottom: 16 } }] }, output: webp },
  blur: { canvas: { image: "lake", steps: [{ width: 320, blur: 20, saturation: 0.3 }] }, output: webp },
  gif: { canvas: { image: "planet", steps: [{ width: 120 }] }, output: { format: "image/gif" } },
};

const folder = resolve(process.argv[2] ?? join(import.meta.dirname, "../docs/workers"));
await mkdir(folder, { recursive: true });
const server = await startWholeplate({ unix: true, args: ["--allow-private-network", "--allow-origin", "*"] });
const runtimes = { emulation: startMiniflare(script, undefined, "wrangler"), wholeplate: startMiniflare(script, server, "wrangler") };
try {
  for (const [who, runtime] of Object.entries(runtimes)) {
    const worker = await runtime.ready;
    for (const [name, recipe] of Object.entries(recipes)) {
      const { error, body } = await ask(worker, recipe, images);
      if (error) { console.log(`${who}: ${name}: ${error.message}`); continue; }
      const file = `${name}-${who}.${recipe.output.format.split("/")[1]}`;
      await writeFile(join(folder, file), body);
      console.log(`${file}: ${body.length} bytes`);
    }
  }
} finally {
  await Promise.all(Object.values(runtimes).map((r) => r.close()));
  await server.close();
  font.close();
  font.closeAllConnections();
}
