// The Workers runtime as a client of the lab: sends the form, waits, and counts the received bytes.

export default {
  async fetch(request, env) {
    const parameters = new URL(request.url).searchParams;
    const form = new FormData();
    form.set("image", new Blob([new Uint8Array(3500)]), "image");
    const sent = new Response(form);
    const seen = { promised: null, received: 0, error: null };
    try {
      const response = await env.LAB.fetch(`http://lab${parameters.get("target")}`, {
        method: "POST",
        headers: { "x-lab-id": parameters.get("id"), "content-type": sent.headers.get("content-type") },
        // A stream has no known length: the request goes out chunked.
        body: sent.body.pipeThrough(new TransformStream()),
      });
      seen.promised = Number(response.headers.get("content-length"));
      await new Promise((resolve) => setTimeout(resolve, 20));
      for await (const piece of response.body) seen.received += piece.byteLength;
    } catch (error) {
      seen.error = String(error);
    }
    return Response.json(seen);
  },
};
