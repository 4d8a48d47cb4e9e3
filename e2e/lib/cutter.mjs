// A proxy between two Unix sockets that can disconnect in the middle of a response.
import { rm } from "node:fs/promises";
import { connect, createServer } from "node:net";

/** `target()` returns the other socket's path for each connection. */
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
    /** Cuts the next response after this many bytes. */
    cutNext(bytes) { next = bytes; },
    async close() {
      for (const socket of open) socket.destroy();
      await new Promise((done) => server.close(done));
      await rm(path, { force: true });
    },
  };
}
