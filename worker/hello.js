// A Worker to test the setup: GET prints help; POST an image to get it back as a small WebP.
export default {
  async fetch(request, env) {
    if (request.method !== "POST") {
      return new Response("POST an image to this address: curl --data-binary @photo.jpg http://127.0.0.1:8080/ -o small.webp\n");
    }
    if (!request.body) return new Response("The request has no body: POST an image.\n", { status: 400 });
    try {
      const result = await env.IMAGES.input(request.body).transform({ width: 400 }).output({ format: "image/webp" });
      return result.response();
    } catch (error) {
      return new Response(`${error.message}\n`, { status: error.code === 9412 ? 415 : 500 });
    }
  },
};
