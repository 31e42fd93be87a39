// Pictures for papers.

/** Hand a file to the user. */
function offer(name, blob) {
  const address = URL.createObjectURL(blob);
  make("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** A drawing as a file of its own, on the page's paper. */
function svgText(svg) {
  const copy = svg.cloneNode(true);
  for (const name of ["tabindex", "role", "aria-roledescription", "class"]) copy.removeAttribute(name);
  const [x, y, width, height] = copy.getAttribute("viewBox").split(" ");
  copy.prepend(draw("rect", { x, y, width, height, fill: colour("paper") }));
  return new XMLSerializer().serializeToString(copy);
}

/** The drawing as PNG, three pixels for one. */
async function pngOf(svg) {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svgText(svg))}`;
  await image.decode();
  const [, , width, height] = svg.getAttribute("viewBox").split(" ").map(Number);
  const canvas = make("canvas", { width: Math.round(3 * width), height: Math.round(3 * height) });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => { canvas.toBlob(done, "image/png"); });
}
