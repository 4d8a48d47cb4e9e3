// The Worker between `env.IMAGES` and Wholeplate, for calls that are not HTTP.
//
// The runtime's IMAGES wrapper uses HTTP for info() and input()...output(), and RPC for hosted.*. Plain HTTP cannot carry
// RPC, so that a Worker has to handle it. This one forwards the HTTP calls unchanged and handles the RPC calls.
import { RpcTarget, WorkerEntrypoint } from "cloudflare:workers";

/** The paths of the binding's service; any other is a mistake in the configuration. */
const forwarded = new Set(["/info", "/transform"]);

/** An error that reaches the calling Worker with its own numeric `code`. */
function missing(call) {
  const error = new Error(`hosted.${call} needs the hosted images service, which this version of Wholeplate does not have; ` +
    "info(), input() and text() work");
  error.code = 9523;
  return error;
}

/** The handle that hosted.image(id) returns; creating it sends no request. */
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
 * Needs one binding, `WHOLEPLATE`: a service connected to the socket of `wholeplate serve --unix`.
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
      // For a socket without a listener the runtime reports "internal error", with a reference to its own log.
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
