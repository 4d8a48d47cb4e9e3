// The part of the tracing extension that a Worker sees, as "wholeplate:trace".
export { follow } from "wholeplate:trace-fetcher";
