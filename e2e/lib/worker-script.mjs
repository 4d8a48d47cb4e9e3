// The Worker of the binding's tests. It knows nothing of Wholeplate: each request carries a recipe and its images, the Worker makes
// the recipe's calls of env.IMAGES and returns the error, if any, as data.
import { body as multipart, boundary } from "./wire.mjs";

/** Plain JavaScript for the real runtime. */
export const script = `
const failing = (bytes, after) => new ReadableStream({
  start(controller) { controller.enqueue(bytes.subarray(0, after)); },
  pull(controller) { controller.error(new Error("the source broke")); },
});
const b64 = (bytes) => { let s = ""; for (let i = 0; i < bytes.length; i += 32768) s += String.fromCharCode(...bytes.subarray(i, i + 32768)); return btoa(s); };

export default {
  async fetch(request, env) {
    const form = await request.formData();
    const recipe = JSON.parse(form.get("recipe"));
    const bytes = new Map();
    for (const [name, value] of form) if (name !== "recipe") bytes.set(name, new Uint8Array(await value.arrayBuffer()));
    const stream = (name) => new Blob([bytes.get(name)]).stream();

    const open = (node) => {
      let t;
      if (node.text !== undefined) t = env.IMAGES.text(node.text, node.options);
      else if (node.failAfter !== undefined) t = env.IMAGES.input(failing(bytes.get(node.image), node.failAfter));
      else if (node.base64) t = env.IMAGES.input(new Blob([b64(bytes.get(node.image))]).stream(), { encoding: "base64" });
      else t = env.IMAGES.input(stream(node.image));
      for (const step of node.steps ?? []) {
        if (step.draw) t = t.draw(step.raw ? stream(step.draw.image) : open(step.draw), step.with);
        else t = t.transform(step);
      }
      return t;
    };

    try {
      if (recipe.info) {
        const source = recipe.base64 ? new Blob([b64(bytes.get(recipe.info))]).stream() : stream(recipe.info);
        return Response.json(await env.IMAGES.info(source, recipe.base64 ? { encoding: "base64" } : undefined));
      }
      if (recipe.hosted) {
        const [call, ...then] = recipe.hosted;
        let value = env.IMAGES.hosted[call](...(recipe.arguments ?? []));
        for (const name of then) value = value[name]();
        return Response.json({ result: (await value) ?? null });
      }
      const transformer = open(recipe.canvas);
      const result = await transformer.output(recipe.output);
      if (recipe.again) await transformer.output(recipe.output);
      if (recipe.encoded) {
        const text = await new Response(result.image({ encoding: "base64" })).text();
        return new Response(text, { headers: { "content-type": "text/plain", "x-type": result.contentType() } });
      }
      return result.response({ headers: { "x-type": result.contentType() } });
    } catch (error) {
      return Response.json({ name: error.name, message: error.message, code: error.code ?? null, remote: error.remote }, { status: 500 });
    }
  },
};
`;

/** Sends a request to the Worker; returns `{ status, type, body }`, or `{ error }` with the thrown error. */
export async function ask(worker, recipe, images = {}) {
  const answer = await fetch(worker.url, {
    method: "POST",
    headers: { "content-type": `multipart/form-data; boundary=${boundary}` },
    body: multipart([["recipe", JSON.stringify(recipe)], ...Object.entries(images)]),
  });
  const body = Buffer.from(await answer.arrayBuffer());
  if (answer.status === 500) return { error: JSON.parse(body) };
  return { status: answer.status, type: answer.headers.get("x-type"), headers: answer.headers, body };
}
