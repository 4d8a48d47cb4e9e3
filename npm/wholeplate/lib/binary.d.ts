/** Absolute path of the wholeplate program of this platform. Throws an Error that says what to do when there is none. */
export declare const path: string;
