// Finds the program of this platform: the optional dependency that npm installed, or $WHOLEPLATE.
"use strict";
const { readFileSync } = require("node:fs");

/** musl and glibc need different builds. */
function libc() {
  if (process.platform !== "linux") return "";
  try {
    // A glibc process has no musl loader mapped.
    return readFileSync("/proc/self/maps", "utf8").includes("/ld-musl-") ? "-musl" : "";
  } catch {
    return process.report?.getReport?.().header?.glibcVersionRuntime ? "" : "-musl";
  }
}

function find() {
  if (process.env.WHOLEPLATE) return process.env.WHOLEPLATE;
  const platform = `${process.platform}-${process.arch}`;
  const names = [`wholeplate-${platform}${libc()}`, `wholeplate-${platform}`];
  for (const name of new Set(names)) {
    try {
      return require.resolve(`${name}/wholeplate`);
    } catch {}
  }
  throw new Error(`wholeplate has no build for ${platform}${libc()}, or npm left it out (was it run with --omit=optional?): ` +
    `expected the package ${names[0]}; or set WHOLEPLATE to the path of a build of your own`);
}

module.exports = {
  /** Absolute path of the program. Throws an Error that says what to do when there is none. */
  get path() {
    return find();
  },
};
