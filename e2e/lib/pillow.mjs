// Pillow as a second independent decoder. `./test` provides it; otherwise E2E_PYTHON names a python3 that has it.
import { execFileSync } from "node:child_process";

const program = `
import struct, sys
from PIL import Image
i = Image.open(sys.argv[1]).convert("RGBA")
sys.stdout.buffer.write(struct.pack("<II", *i.size) + i.tobytes())
`;

/** Decodes a file to 8-bit RGBA, in the form of lib/pixels.mjs. */
export function pillow(path) {
  const out = execFileSync(process.env.E2E_PYTHON ?? "python3", ["-c", program, path], { maxBuffer: 1e9 });
  return { width: out.readUInt32LE(0), height: out.readUInt32LE(4), data: out.subarray(8) };
}
