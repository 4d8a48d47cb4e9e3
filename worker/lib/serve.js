// `wholeplate-worker serve`: the project, its binding, cf.image, /cdn-cgi/image/ and its assets behind one address.
import { createServer } from "node:net";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeMessage } from "./assemble.js";
import { build, workFolder } from "./build.js";
import { CF_BLOB_HEADER, PROTO_HEADER } from "./headers.js";
import { Program, findWholeplate } from "./programs.js";
import { UserError } from "./project.js";

/** Arguments of `wholeplate serve` behind a Worker on `listen`. The origin is trusted at any address. */
export function wholeplateArguments(socket, listen) {
  return [
    "serve", "--listen", "none", "--unix", socket, "--origin", `http://${listen}`,
    "--cf-blob-header", CF_BLOB_HEADER, "--forwarded-proto-header", PROTO_HEADER,
    "--allow-origin", "*",
  ];
}

async function checkPort(host, port) {
  await new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once("error", (error) => reject(new UserError(error.code === "EADDRINUSE"
      ? `port ${port} is in use: stop what listens there, or choose another with --port`
      : `${host}:${port}: ${error.message}`)));
    probe.listen(port, host, () => probe.close(resolve));
  });
}

export async function serve({ config, env, host, port }) {
  await checkPort(host, port);
  const listen = `${host}:${port}`;
  const folder = mkdtempSync(join(tmpdir(), "wholeplate-"));
  const running = [];
  const stop = async () => {
    await Promise.all(running.map((program) => program.stop()));
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    const socket = join(folder, "images.sock");
    const { project, workerd, root } = await build({ config, env, listen, socket });
    if (project.ignored.length > 0) {
      process.stderr.write(`${project.path}: of no meaning here, ignored: ${project.ignored.join(", ")}\n`);
    }
    const file = join(workFolder(project), "config.bin");
    writeFileSync(file, writeMessage(root));

    const wholeplate = new Program("wholeplate", findWholeplate(project.root), [
      // On a developer's machine a Worker fetches from other local servers.
      ...wholeplateArguments(socket, listen), "--allow-private-network",
    ]);
    running.push(wholeplate);
    await wholeplate.line((line) => line.includes("listening on"));
    const runtime = new Program("workerd", workerd, ["serve", "--experimental", "--binary", "--control-fd=3", file], {
      cwd: project.root, pipes: ["pipe"],
    });
    running.push(runtime);
    const ready = new Promise((resolve) => runtime.child.stdio[3].on("data", (data) => data.includes('"listen"') && resolve("listen")));
    const first = await Promise.race([ready, runtime.exited]);
    if (first !== "listen") throw new UserError(runtime.failure(first));
    return { url: `http://${listen}/`, project, running, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
