// The address that visitors open: transformations go to Wholeplate, everything else to the project.
export default {
  fetch(request, env) {
    const { pathname } = new URL(request.url);
    return pathname.startsWith("/cdn-cgi/image/") ? env.WHOLEPLATE.fetch(request) : env.SITE.fetch(request);
  },
};
