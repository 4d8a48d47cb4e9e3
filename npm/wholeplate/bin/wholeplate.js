#!/usr/bin/env node
// Runs the program of this platform: arguments, input, output, signals and exit status are passed on.
import { spawn } from "node:child_process";
import binary from "../lib/binary.cjs";

let path;
try {
  path = binary.path;
} catch (error) {
  process.stderr.write(`wholeplate: ${error.message}\n`);
  process.exit(1);
}
const child = spawn(path, process.argv.slice(2), { stdio: "inherit" });
// Ctrl-C reaches the whole process group; signals that are sent to this process alone are passed on.
for (const signal of ["SIGTERM", "SIGHUP", "SIGQUIT"]) process.on(signal, () => child.kill(signal));
process.on("SIGINT", () => {});
child.once("error", (error) => {
  process.stderr.write(`wholeplate: ${path}: ${error.message}\n`);
  process.exit(1);
});
child.once("exit", (code, signal) => {
  if (!signal) process.exit(code);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
});
