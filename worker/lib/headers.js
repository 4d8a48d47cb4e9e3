/** Header in which the runtime passes `request.cf` of a subrequest to Wholeplate. */
export const CF_BLOB_HEADER = "CF-Blob";
/** Header in which the runtime passes the scheme of a subrequest. */
export const PROTO_HEADER = "X-Forwarded-Proto";
