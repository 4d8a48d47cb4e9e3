import { WorkerEntrypoint } from "cloudflare:workers";

/** The bindings that the entry-point Worker needs. */
export interface Env {
  /** A service connected to the socket of `wholeplate serve --unix`. */
  WHOLEPLATE: { fetch(request: Request): Promise<Response> };
}

/** A hosted image's handle. Every method rejects until the hosted images service exists. */
export interface HostedImageHandle {
  details(): Promise<never>;
  bytes(): Promise<never>;
  signedUrl(options: { variant: string; expiresIn?: number; keyName?: string }): Promise<never>;
  update(options: { requireSignedURLs?: boolean; metadata?: Record<string, unknown>; creator?: string }): Promise<never>;
  delete(): Promise<never>;
}

/**
 * Forwards `/info` and `/transform` unchanged to Wholeplate, and handles the RPC calls of `env.IMAGES.hosted`, which reject
 * with an error whose `code` is 9523 and whose message names the missing feature.
 */
export class ServiceEntrypoint extends WorkerEntrypoint<Env> {
  fetch(request: Request): Response | Promise<Response>;
  image(id: string): HostedImageHandle;
  upload(source: ReadableStream<Uint8Array> | ArrayBuffer, options?: Record<string, unknown>): Promise<never>;
  list(options?: Record<string, unknown>): Promise<never>;
  createDirectUpload(options?: Record<string, unknown>): Promise<never>;
}

export default ServiceEntrypoint;
