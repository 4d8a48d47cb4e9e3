// The inner pipeline: composites a large photograph and overlays with the Images binding.
//
//   GET /poster.jpg?background=background.jpg&width=2000   → a picture of some megabytes
//
// The originals come from a service called ORIGINALS, here a folder.

import { AsyncLocalStorage } from "node:async_hooks";
import { follow } from "wholeplate:trace";

// The binding's requests carry the trace context of the incoming request.
const contexts = new AsyncLocalStorage();
follow(contexts);

const formats = { png: "image/png", jpg: "image/jpeg", webp: "image/webp" };

export default {
  fetch(request, env) {
    return contexts.run(request.headers.get("traceparent"), () => poster(request, env));
  },
};

async function poster(request, env) {
  const url = new URL(request.url);
  const format = formats[url.pathname.match(/^\/poster\.(\w+)$/)?.[1]];
  if (!format) return new Response("Not found: the poster is at /poster.jpg or /poster.png\n", { status: 404 });

  const original = async (name) => {
    const answer = await env.ORIGINALS.fetch(new URL(`/${name}`, "http://originals"));
    if (!answer.ok) throw new Error(`${name}: ${answer.status}`);
    return answer.body;
  };
  const background = url.searchParams.get("background") ?? "background.jpg";
  const width = Number(url.searchParams.get("width") ?? 0) || undefined;

  // The badge is a separate image: a mark, with a smaller mark drawn onto it.
  const badge = env.IMAGES.input(await original("badge.png"))
    .draw(env.IMAGES.input(await original("dot.png")).transform({ width: 40 }), { right: 10, bottom: 10 });

  const result = await env.IMAGES.input(await original(background))
    .transform({ width, fit: "scale-down" })
    .draw(badge, { top: 60, left: 60, opacity: 0.9 })
    .draw(env.IMAGES.input(await original("badge.png")).transform({ rotate: 180 }), { bottom: 60, right: 60 })
    .output({ format, ...(format === "image/png" ? {} : { quality: 95 }) }); // a PNG with a quality would be one of 256 colours
  return result.response({ headers: { "cache-control": "public, max-age=3600" } });
}
