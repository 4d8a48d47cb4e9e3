/** Absolute path of the wholeplate program of this platform. Throws an Error with advice if there is none. */
export declare const path: string;
