// A Unix socket that leads to another one, and breaks off in the middle of an answer when it is told to.
import { rm } from "node:fs/promises";
import { connect, createServer } from "node:net";

/** `target` gives the other socket's path when a connection comes. */
export async function startCutter(path, target) {
  let next;
  const open = new Set();
  const server = createServer((client) => {
    const service = connect(target());
    let left = Infinity;
    for (const socket of [client, service]) {
      open.add(socket);
      socket.on("error", () => {}).once("close", () => { open.delete(socket); client.destroy(); service.destroy(); });
    }
    client.pipe(service);
    service.on("data", (piece) => {
      if (next !== undefined) [left, next] = [next, undefined];
      left -= piece.length;
      if (left <= 0) {
        client.destroy();
        service.destroy();
      } else if (!client.write(piece)) {
        service.pause();
        client.once("drain", () => service.resume());
      }
    });
    service.on("end", () => client.end());
  });
  await new Promise((done, fail) => server.once("error", fail).listen(path, done));
  return {
    /** The next answer is broken off once so many bytes of it have come. */
    cutNext(bytes) { next = bytes; },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
      await rm(path, { force: true });
    },
  };
}
