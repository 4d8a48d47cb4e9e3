/** Settings of `wholeplate serve`, in camel case: `maxSource` is `--max-source`. `wholeplate config` prints all of them. */
export interface Settings {
  /** Address of the HTTP listener; `127.0.0.1:0` takes a free port (default), `none` opens none. */
  listen?: string;
  /** Path of the Unix socket for a Workers runtime. */
  unix?: string;
  /** Folder, `http(s)://` URL or bucket that relative sources resolve against. */
  origin?: string;
  /** Hosts whose absolute source URLs are fetched. */
  allowOrigin?: string | string[];
  /** Called with each line of the log. */
  onLog?: (line: string) => void;
  [setting: string]: unknown;
}

export interface Wholeplate {
  /** Every address, as printed: `http://127.0.0.1:8565`, `unix:/run/images.sock`. */
  addresses: string[];
  /** The first HTTP address. */
  url?: string;
  /** Path of the Unix socket. */
  unix?: string;
  pid: number;
  /** Resolves when the process has ended, for any reason. */
  exited: Promise<{ code?: number | null; signal?: string | null; error?: Error }>;
  /** Finishes open responses, then exits; resolves with the exit status (0 = every response was whole). */
  stop(): Promise<number | null | undefined>;
}

/** Starts Wholeplate and resolves when it listens. Rejects with the program's own message if it does not start. */
export declare function start(options?: Settings): Promise<Wholeplate>;

/** Absolute path of the program. */
export declare function path(): string;
