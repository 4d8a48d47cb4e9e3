// Starts Wholeplate from JavaScript and stops it cleanly.
import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import binary from "./binary.cjs";

const READY_TIMEOUT_MS = 30_000;
const LAST_LINES = 20;

const kebab = (name) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);

/** Options as flags: `maxSource: 5` is `--max-source 5`, `true` a flag alone, a list the flag once for each member. */
function flags(options) {
  return Object.entries(options).flatMap(([name, value]) => {
    if (!/^[a-z][A-Za-z0-9]*$/.test(name)) throw new TypeError(`'${name}' is not a setting`);
    if (value === undefined || value === null || value === false) return [];
    if (value === true) return [`--${kebab(name)}`];
    return [value].flat().flatMap((one) => [`--${kebab(name)}`, String(one)]);
  });
}

/**
 * Starts `wholeplate serve` and waits until it listens. Without `listen` it uses a free port of 127.0.0.1; with `unix` alone
 * there is no TCP listener.
 */
export async function start(options = {}) {
  const { listen = options.unix ? "none" : "127.0.0.1:0", onLog, ...settings } = options;
  const child = spawn(binary.path, ["serve", ...flags({ listen, ...settings })], { stdio: ["ignore", "pipe", "pipe"] });
  const lines = [];
  createInterface({ input: child.stderr }).on("line", (line) => {
    if (lines.push(line) > LAST_LINES) lines.shift();
    onLog?.(line);
  });
  const exited = new Promise((resolve) => {
    child.once("error", (error) => resolve({ error }));
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  // This process may end without stop(): the service must end too.
  const killAtExit = () => child.kill("SIGKILL");
  process.once("exit", killAtExit);
  exited.then(() => process.removeListener("exit", killAtExit));

  // The program prints one address for each listener, all in one write.
  const addresses = [];
  const listening = new Promise((resolve) => {
    const output = createInterface({ input: child.stdout });
    output.on("line", (line) => {
      const address = line.match(/^listening on (\S+)$/)?.[1];
      if (address) addresses.push(address);
      if (addresses.length === 1) setImmediate(resolve, "listening");
    });
  });
  let timer;
  const late = new Promise((resolve) => (timer = setTimeout(resolve, READY_TIMEOUT_MS, null)));
  const first = await Promise.race([listening, exited, late]);
  clearTimeout(timer);
  if (first !== "listening") {
    child.kill("SIGKILL");
    const why = first?.error?.message ?? (first ? lines.join("\n") || `status ${first.code}` : "did not listen within 30 s");
    throw new Error(`wholeplate did not start: ${why}`);
  }
  const url = addresses.find((address) => /^https?:/.test(address));
  return {
    addresses,
    url,
    unix: addresses.find((address) => address.startsWith("unix:"))?.slice("unix:".length),
    pid: child.pid,
    exited,
    /** Finishes open responses, then exits. Resolves with the exit status. */
    async stop() {
      child.kill("SIGTERM");
      return (await exited).code;
    },
  };
}

export const path = () => binary.path;
