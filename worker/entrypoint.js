// The Worker that stands between `env.IMAGES` and Wholeplate when more than HTTP is needed.
//
// The runtime's IMAGES wrapper speaks HTTP for info() and input()...output(), and RPC for hosted.*. RPC does not go
// over plain HTTP, so a Worker has to take it. This one forwards the HTTP calls untouched and answers the RPC calls.
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

/** What the binding's service answers to; anything else is a mistake in the configuration. */
const forwarded = new Set(["/info", "/transform"]);

/** An error that reaches the calling Worker with its own numeric `code`. */
function missing(call) {
  const error = new Error(`hosted.${call} needs the hosted images service, which this version of Wholeplate does not have; ` +
    "info(), input() and text() work");
  error.code = 9523;
  return error;
}

/** The handle that hosted.image(id) gives; making one sends nothing. */
class HostedImage extends RpcTarget {
  #id;
  constructor(id) {
    super();
    this.#id = id;
  }
  #refuse(call) { throw missing(`image(${JSON.stringify(this.#id)}).${call}`); }
  async details() { this.#refuse("details()"); }
  async bytes() { this.#refuse("bytes()"); }
  async signedUrl() { this.#refuse("signedUrl()"); }
  async update() { this.#refuse("update()"); }
  async delete() { this.#refuse("delete()"); }
}

/**
 * Needs one binding, `WHOLEPLATE`: a service that leads to the socket of `wholeplate serve --unix`.
 */
export class ServiceEntrypoint extends WorkerEntrypoint {
  async fetch(request) {
    const { pathname } = new URL(request.url);
    if (!forwarded.has(pathname)) {
      return new Response(`ERROR 9432: Bad request: ${pathname} is not a call of the Images binding\n`,
        { status: 404, headers: { "cf-images-binding": "err=9432", "content-type": "text/plain" } });
    }
    try {
      return await this.env.WHOLEPLATE.fetch(request);
    } catch (error) {
      // The runtime says "internal error" of a socket that nobody listens on; the reference is for its own log.
      console.error(`Wholeplate: ${error.message}`);
      return new Response("ERROR 9523: the images service cannot be reached: is `wholeplate serve` running, at the address that " +
        "the configuration names?\n", { status: 502, headers: { "cf-images-binding": "err=9523", "content-type": "text/plain" } });
    }
  }

  image(id) {
    return new HostedImage(id);
  }

  async upload() { throw missing("upload()"); }
  async list() { throw missing("list()"); }
  async createDirectUpload() { throw missing("createDirectUpload()"); }
}

export default ServiceEntrypoint;
