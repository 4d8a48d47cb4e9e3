// The public part of the tracing extension, imported by Workers as "wholeplate:trace".
export { follow } from "wholeplate:trace-fetcher";
