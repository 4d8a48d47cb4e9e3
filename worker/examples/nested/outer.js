// The outer pipeline, for browsers. It uses the inner Worker's images as sources of URL transformations.
//
//   GET /small/poster.jpg?...   → /cdn-cgi/image/width=800,format=webp/poster.jpg?...
//   GET /<options>/poster.jpg   → the same with other options
//
// Wholeplate fetches the source from its origin, which is the inner Worker.

// The headers that a transformation may depend on. No other header of a visitor is forwarded, in particular not CF-Blob.
const passed = ["accept", "if-modified-since", "if-none-match", "sec-ch-viewport-width", "traceparent", "tracestate", "user-agent", "via", "want-repr-digest", "want-server-timing"];

const presets = { small: "width=800,format=webp", thumb: "width=200,height=200,fit=cover,format=jpeg", large: "width=2400,format=jpeg,quality=95" };

export default {
  async fetch(request, env) {
    const url = new URL(request.url);
    const [, first, ...source] = url.pathname.split("/");
    if (!first || source.length === 0) return new Response(`Try ${Object.keys(presets).map((p) => `/${p}/poster.jpg`).join(", ")}\n`, { status: 404 });
    const options = presets[first] ?? first;
    const headers = new Headers();
    for (const name of passed) if (request.headers.has(name)) headers.set(name, request.headers.get(name));
    const answer = await env.WHOLEPLATE.fetch(new URL(`/cdn-cgi/image/${options}/${source.join("/")}${url.search}`, url.origin), { headers });
    // A failed transformation is an error, never half an image.
    if (!answer.ok) return new Response(await answer.text(), { status: answer.status, headers: { "cf-resized": answer.headers.get("cf-resized") ?? "" } });
    return answer;
  },
};
