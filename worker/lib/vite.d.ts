import type { Plugin } from "vite";
import type { Settings } from "wholeplate";

export interface Options {
  /** A running Wholeplate, as "http://127.0.0.1:8565". Without it the plugin starts one and stops it with the dev server. */
  address?: string;
  /** Settings of the one that the plugin starts. */
  settings?: Settings;
}

/** `/cdn-cgi/image/` in Vite's dev server. */
export default function wholeplate(options?: Options): Plugin;
