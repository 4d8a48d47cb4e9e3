// A fetcher between the runtime's IMAGES wrapper and Wholeplate, in the Worker's own isolate. It adds the trace context of the
// incoming request to the binding's requests, because the wrapper sends no headers.
let contexts;

/** `store` is an AsyncLocalStorage whose values are requests' `traceparent` headers. */
export const follow = (store) => { contexts = store; };

/** The service of the wrapper. */
export default (env) => ({
  fetch(url, init) {
    const traceparent = contexts?.getStore();
    if (!traceparent) return env.fetcher.fetch(url, init);
    const headers = new Headers(init?.headers);
    headers.set("traceparent", traceparent);
    return env.fetcher.fetch(url, { ...init, headers });
  },
});
