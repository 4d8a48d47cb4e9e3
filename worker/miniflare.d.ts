/** Options of a binding that Wholeplate serves. */
export interface WholeplateOptions {
  /** Wholeplate's address: `unix:/path/of.sock`, `unix-abstract:name` or `host:port`. */
  address: string;
  /**
   * `fetch()` with `cf.image` goes to the same Wholeplate, which has to be started with `--cf-blob-header CF-Blob` and
   * `--allow-origin`. Without it Miniflare's own emulation applies `cf.image`.
   */
  cfImage?: boolean;
}

/** Miniflare plugins by name; `unsafeBindings` and wrangler's `unsafe.bindings[].dev.plugin` refer to them. */
export declare const plugins: { wholeplate: object };
