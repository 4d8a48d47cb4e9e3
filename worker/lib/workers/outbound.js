// Subrequests with `cf.image` go to Wholeplate, all others where they would go without this Worker.
export default {
  fetch(request, env) {
    const image = request.cf?.image;
    const transforms = image !== null && typeof image === "object" && Object.keys(image).length > 0;
    return (transforms ? env.WHOLEPLATE : env.NEXT).fetch(request);
  },
};
