// What is chosen, and everything drawn by it.

const get = (id) => document.getElementById(id);
const two = content.models.length > 1;
const state = {
  line: 0, site: Object.keys(content.models[0].heads)[0] ?? "encoder", layer: 0, head: 0, view: "matrix", part: "used",
  model: "a", pairing: "number", sort: "layer", words: false, step: 0,
};
/** Where the reader is in the drawing, which no link keeps. */
const reader = { cursor: [0, 0], focused: false };
const NUMBERS = new Set(["line", "layer", "head", "step"]);

/** The state from the address, so that a view can be kept as a link. */
function fromAddress() {
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (!(name in state)) continue;
    if (NUMBERS.has(name)) state[name] = Math.max(0, Number.parseInt(value, 10) || 0);
    else state[name] = name === "words" ? value === "true" : value;
  }
}

/** Choices that the line does not have are set to ones that it has. */
function settle() {
  const among = (value, options) => (options.includes(value) ? value : options[0]);
  state.line = Math.min(state.line, content.sentences.length - 1);
  const seen = content.sentences[state.line].models;
  const model = state.model === "b" && two ? 1 : 0;
  const sites = Object.keys(seen[model].sites);
  if (sites.length) state.site = among(state.site, sites);
  const comparable = two && seen.every((one) => one.sites[state.site]) && sameTokens(seen);
  state.model = among(state.model, ["a", ...(two ? ["b"] : []), ...(comparable ? ["difference"] : [])]);
  const layers = seen[model].sites[state.site] ?? [];
  state.layer = Math.max(0, Math.min(state.layer, layers.length - 1));
  state.head = Math.max(0, Math.min(state.head, (layers[state.layer]?.heads ?? 1) - 1));
  state.part = layers[state.layer]?.dense === undefined || state.model === "difference" ? "used" : among(state.part, ["used", "dense", "lost"]);
  state.view = among(state.view, ["matrix", "lines"]);
  state.pairing = among(state.pairing, ["number", "alike"]);
  state.sort = among(state.sort, ["layer", "kind"]);
  return comparable;
}

/** Whether both models saw the same tokens at this site. */
function sameTokens(seen) {
  return EDGES[state.site].every((side) => seen[0][side].pieces.join("\n") === seen[1][side].pieces.join("\n"));
}

/** The head of B that stands beside a head of A; null if there is none. */
function partner(layer, head) {
  if (state.pairing === "number") {
    return content.models[1].heads[state.site]?.[layer]?.[head] ? [layer, head, null] : null;
  }
  const pair = content.pairs[state.site]?.find((one) => one[0] === layer && one[1] === head);
  return pair ? [pair[2], pair[3], pair[4]] : null;
}

/** The weights that are chosen of a head of A, or of B where only B is shown; null where a difference has no partner. */
function chosenMatrix(weights, layer, head) {
  const model = state.model === "b" ? 1 : 0;
  const matrix = matrixOf(weights[model][state.site][layer], head, state.part);
  if (state.model !== "difference") return matrix;
  const other = partner(layer, head);
  return other && less(matrix, matrixOf(weights[1][state.site][other[0]], other[1], "used"));
}

/** Draw everything anew. */
async function show() {
  const comparable = settle();
  const at = state.line;
  const sentence = content.sentences[at];
  const model = state.model === "b" ? 1 : 0;
  const seen = sentence.models[model];
  const weights = await Promise.all(sentence.models.map((_, number) => weightsOf(at, number)));
  if (at !== state.line) return; // another line was chosen meanwhile
  history.replaceState(null, "", `#${new URLSearchParams(Object.entries(state).map(([name, value]) => [name, String(value)]))}`);
  showBar(seen, comparable);
  const empty = !seen.sites[state.site];
  for (const id of ["overview", "head"]) get(id).hidden = empty;
  get("line").textContent = lineText(seen);
  showLosses(seen);
  showSearch(seen, weights[model]);
  if (empty) return;
  const heads = content.models[model].heads[state.site].flatMap((layer, l) => layer.map((facts, h) => ({ layer: l, head: h, facts, matrix: chosenMatrix(weights, l, h) })));
  for (const one of heads) {
    const other = state.model === "difference" ? partner(one.layer, one.head) : null;
    if (other) one.partner = headName(other[0], other[1]);
  }
  get("told").textContent = state.model === "difference" ? "Blue: A puts more weight there; orange: B does." : "Rows are queries, columns keys; the darker, the more weight. Choose one.";
  drawOverview(get("heads"), heads.filter((one) => one.matrix), state.sort, [state.layer, state.head], (layer, head) => {
    change({ layer, head });
    get("head").scrollIntoView({ block: "nearest" });
  });
  showHead(seen, weights, model);
}

/** The row of choices. */
function showBar(seen, comparable) {
  get("sentence").value = String(state.line);
  get("before").disabled = state.line === 0;
  get("after").disabled = state.line === content.sentences.length - 1;
  choices(get("sites"), Object.fromEntries(Object.keys(seen.sites).map((site) => [site, SITES[site]])), state.site, (site) => change({ site }));
  choices(get("sides"), two ? { a: "A", b: "B", ...(comparable ? { difference: "A − B" } : {}) } : {}, state.model, (one) => change({ model: one }));
  document.querySelectorAll(".only-both").forEach((one) => { one.hidden = state.model !== "difference"; });
  get("pairing").value = state.pairing;
  get("sort").value = state.sort;
}

/** What a line says, and what the model made of it. */
function lineText(seen) {
  if (seen.note) return `Nothing to see: ${seen.note}.`;
  const text = (side) => (side ? side.labels.join(" ") : "");
  const parts = [text(seen.source ?? seen.inputs)];
  if (seen.source && seen.target) parts.push(text(seen.target));
  return parts.join("  →  ") + (seen.verdict ? `  →  ${seen.verdict}` : "");
}

/** One head, large. */
function showHead(seen, weights, model) {
  const layer = weights[model][state.site][state.layer];
  const facts = content.models[model].heads[state.site][state.layer][state.head];
  const other = state.model === "difference" ? partner(state.layer, state.head) : null;
  const title = `${SITES[state.site]}, layer ${state.layer + 1}, head ${state.head + 1}`;
  get("head-title").textContent = title[0].toUpperCase() + title.slice(1);
  const beside = other ? ` Beside it: head ${headName(other[0], other[1])} of B${other[2] === null ? "" : `, which puts ${Math.round(100 * other[2])} % of its weight on the same keys`}.` : "";
  get("facts").textContent = `Over all lines it ${headFacts(facts)}${beside}`;
  choices(get("views"), { matrix: "matrix", lines: "lines" }, state.view, (view) => change({ view }));
  choices(get("parts"), layer.dense && state.model !== "difference" ? { used: "used", dense: "dense", lost: "dense − used" } : {}, state.part, (part) => change({ part }));
  get("words").checked = state.words;
  const sides = EDGES[state.site].map((side) => seen[side]);
  let matrix = chosenMatrix(weights, state.layer, state.head);
  get("drawing").replaceChildren();
  get("readout").textContent = matrix ? "" : "B has no head to put beside this one.";
  if (!matrix) return;
  let names = sides.map((side) => side.pieces);
  if (state.words) {
    matrix = joined(matrix, ...sides);
    names = sides.map((side) => side.labels);
  }
  const { focused } = reader;
  const drawing = (state.view === "matrix" ? drawMatrix : drawLines)(matrix, ...names, title, reader.cursor, (row, column) => {
    reader.cursor = [row, column];
    readOut(matrix, names, layer, row, column);
  }, get("drawing").clientWidth);
  drawing.addEventListener("focus", () => { reader.focused = true; });
  drawing.addEventListener("blur", () => { reader.focused = false; });
  get("drawing").replaceChildren(drawing);
  if (focused) drawing.focus({ preventScroll: true });
  get("key").replaceChildren(drawKey(matrix.signed));
  get("remark").textContent = remark(matrix);
}

/** The numbers under the cursor. */
function readOut(matrix, names, layer, row, column) {
  const weights = Array.from(matrix.values.subarray(row * matrix.columns, (row + 1) * matrix.columns));
  const value = make("b", {}, weightText(weights[column], matrix.signed));
  const token = (text) => make("bdi", {}, `“${visible(text)}”`);
  const order = weights.map((_, at) => at).sort((a, b) => Math.abs(weights[b]) - Math.abs(weights[a])).slice(0, 3);
  const largest = order.map((at) => `“${visible(names[1][at])}” ${weightText(weights[at], matrix.signed)}`).join(", ");
  const parts = [token(names[0][row]), " to ", token(names[1][column]), ": ", value];
  if (layer.dense && !state.words) {
    const place = (state.head * layer.queries + row) * layer.keys + column;
    const error = layer.error.bytes[state.head * layer.queries + row] * layer.error.scale;
    const dense = layer.dense.bytes[place] * layer.dense.scale;
    parts.push(layer.used.bytes[place] ? " (kept" : " (left out", `; dense ${weightText(dense)}); output error of this query ${error.toFixed(3)}`);
  }
  parts.push(make("span", { class: "largest" }, ` Largest of this query: ${largest}`));
  get("readout").replaceChildren(...parts);
}

/** What must be said of a drawing. */
function remark(matrix) {
  const parts = [];
  if (state.site === "cross") parts.push("A row is the query that predicts its token.");
  if (state.view === "lines") parts.push(`Weights below ${FAINT} have no line.`);
  if (state.view === "matrix" && !cellSize(matrix, 0).named) parts.push("With so many tokens, those under the cursor are named.");
  if (state.words) parts.push("Weights to the tokens of a word are added, those from them averaged.");
  return parts.join(" ");
}

/** The losses of what is predicted. */
function showLosses(seen) {
  get("losses").hidden = !seen.losses;
  if (!seen.losses) return;
  const known = seen.losses.filter((loss) => typeof loss === "number");
  const mean = known.reduce((sum, loss) => sum + loss, 0) / Math.max(known.length, 1);
  get("losses-told").textContent = `In nats; mean ${mean.toFixed(3)}.${seen.target ? "" : " Each with this token alone masked."}`;
  drawLosses(get("tokens"), seen.target ?? seen.source, seen.losses);
}

/** The search for a translation. */
function showSearch(seen, weights) {
  get("search").hidden = !seen.beam;
  if (!seen.beam) return;
  state.step = Math.min(state.step, seen.beam.steps.length - 1);
  const [layer, head] = state.site === "cross" ? [state.layer, state.head] : [weights.beam.length - 1, 0];
  get("search-told").textContent = `What cross-attention head ${headName(layer, head)} looks at for the token after each hypothesis${state.site === "cross" ? "" : "; choose another one under cross-attention"}.`;
  get("step").max = String(seen.beam.steps.length - 1);
  get("step").value = String(state.step);
  get("step-told").textContent = `${state.step + 1} of ${seen.beam.steps.length}`;
  drawBeam(get("beam"), seen.beam, weights.beam[layer], head, seen.source.pieces, state.step);
}

/** Choose something; other tokens are read from their beginning. */
function change(what) {
  if ("line" in what || "words" in what) reader.cursor = [0, 0];
  Object.assign(state, what);
  return show().catch((error) => {
    get("line").textContent = `This browser cannot unpack the page's weights (${error.message}); a newer one can.`;
  });
}

/** Let the elements of the page change the state. */
function begin() {
  get("sentence").append(...content.sentences.map((one, at) => {
    const seen = one.models[0];
    return make("option", { value: at }, `${one.number}  ${short((seen.source ?? seen.inputs)?.labels.join(" ") ?? "–", 40)}`);
  }));
  get("sentence").addEventListener("change", (event) => change({ line: Number(event.target.value), step: 0 }));
  for (const [id, by] of [["before", -1], ["after", 1]]) get(id).addEventListener("click", () => change({ line: state.line + by, step: 0 }));
  for (const id of ["pairing", "sort"]) get(id).addEventListener("change", (event) => change({ [id]: event.target.value }));
  get("words").addEventListener("change", (event) => change({ words: event.target.checked }));
  get("step").addEventListener("input", (event) => change({ step: Number(event.target.value) }));
  const name = () => `attention-line${content.sentences[state.line].number}-${state.site}-${headName(state.layer, state.head)}`;
  const drawing = () => get("drawing").querySelector("svg");
  get("save-svg").addEventListener("click", () => drawing() && offer(`${name()}.svg`, new Blob([svgText(drawing())], { type: "image/svg+xml" })));
  get("save-png").addEventListener("click", async () => drawing() && offer(`${name()}.png`, await pngOf(drawing())));
  new MutationObserver(() => show()).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => show());
  addEventListener("hashchange", () => { fromAddress(); change({}); });
  fromAddress();
  change({});
}

begin();
