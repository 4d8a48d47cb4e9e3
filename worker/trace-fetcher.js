// Goes between the runtime's IMAGES wrapper and Wholeplate, in the Worker's own isolate, so that the binding's requests carry the trace
// context of the request that they are made for. The wrapper sends no headers of its own.
let contexts;

/** `store` is an AsyncLocalStorage whose values are requests' `traceparent` headers. */
export const follow = (store) => { contexts = store; };

/** What the wrapper takes for its service. */
export default (env) => ({
  fetch(url, init) {
    const traceparent = contexts?.getStore();
    if (!traceparent) return env.fetcher.fetch(url, init);
    const headers = new Headers(init?.headers);
    headers.set("traceparent", traceparent);
    return env.fetcher.fetch(url, { ...init, headers });
  },
});
