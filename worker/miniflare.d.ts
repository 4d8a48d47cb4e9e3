/** Options of a binding that Wholeplate serves. */
export interface WholeplateOptions {
  /** Wholeplate's address: `unix:/path/of.sock`, `unix-abstract:name` or `host:port`. */
  address: string;
}

/** Miniflare plugins by name; `unsafeBindings` and wrangler's `unsafe.bindings[].dev.plugin` refer to them. */
export declare const plugins: { wholeplate: object };
