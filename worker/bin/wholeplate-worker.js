#!/usr/bin/env node
// Runs a Workers project on workerd with its images served by Wholeplate.
import { parseArgs } from "node:util";

const HELP = `Run a Workers project on workerd, with env.IMAGES, cf.image and /cdn-cgi/image/ served by Wholeplate.

Usage: wholeplate-worker <serve|build|eject> [wrangler.jsonc|.json|.toml] [options]

  serve    run the project behind one address; Ctrl-C ends everything
  build    write a configuration for workerd, in one binary file
  eject    write the same as text with its modules, and say how to run it as a service

Options:
  --env NAME       an environment of the wrangler file
  --port PORT      port to listen on (default 8787)
  --host HOST      address to listen on (default 127.0.0.1)
  --socket PATH    Wholeplate's socket (build and eject; default /run/wholeplate/images.sock)
  --out PATH       file (build) or folder (eject) to write

Examples:
  npx wholeplate-worker serve
  npx wholeplate-worker serve --env staging --port 3000
  npx wholeplate-worker eject --out deploy/
`;

const [major, minor] = process.versions.node.split(".").map(Number);
if (major < 22 || (major === 22 && minor < 12)) {
  process.stderr.write(`wholeplate-worker needs Node.js 22.12 or later; this is ${process.versions.node}\n`);
  process.exit(1);
}

const { UserError } = await import("../lib/project.js");

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      env: { type: "string" }, port: { type: "string", default: "8787" }, host: { type: "string", default: "127.0.0.1" },
      socket: { type: "string", default: "/run/wholeplate/images.sock" }, out: { type: "string" }, help: { type: "boolean", short: "h" },
    },
  });
  const [command, config, ...rest] = positionals;
  if (values.help || command === undefined) {
    process.stdout.write(HELP);
    return command === undefined && !values.help ? 2 : 0;
  }
  if (rest.length > 0) throw new UserError(`unexpected argument '${rest[0]}'`);
  const port = Number(values.port);
  if (!Number.isInteger(port) || port < 1 || port > 65535) throw new UserError(`--port: '${values.port}' is not a port (1 to 65535)`);
  const options = { config, env: values.env, host: values.host, port, socket: values.socket, out: values.out };
  switch (command) {
    case "serve": return serveUntilStopped(options);
    case "build": return (await import("../lib/eject.js")).writeBinary(options);
    case "eject": return (await import("../lib/eject.js")).eject(options);
    default: throw new UserError(`'${command}' is not a command (expected serve, build or eject)`);
  }
}

async function serveUntilStopped(options) {
  const { serve } = await import("../lib/serve.js");
  const served = await serve(options);
  process.stderr.write(`\n  ${served.project.name} is ready: ${served.url}\n\n`);
  const signal = new Promise((resolve) => {
    for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(name, () => resolve(null));
  });
  const ended = await Promise.race([signal, ...served.running.map((program) => program.exited.then(() => program))]);
  await served.stop();
  if (ended) throw new UserError(`${ended.name} ended; everything was stopped`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UserError) && !error.code?.startsWith("ERR_PARSE_ARGS")) throw error;
  process.stderr.write(`wholeplate-worker: ${error.message}\n`);
  process.exitCode = 1;
}
