// What the page holds: JSON, and the weights of each line, which are unpacked when they are looked at.

const content = JSON.parse(document.getElementById("content").textContent);
const SITES = { encoder: "encoder", decoder: "decoder", cross: "cross-attention" };
const EDGES = { encoder: ["source", "source"], decoder: ["inputs", "inputs"], cross: ["target", "source"] };
const unpacked = new Map();

/** Base64 of what zlib has compressed -> bytes. */
async function inflate(text) {
  const packed = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** The weights of a line under a model: site -> layers, and the beam's layers. */
function weightsOf(line, model) {
  const name = `weights-${line}-${model}`;
  if (!unpacked.has(name)) {
    const text = document.getElementById(name).textContent;
    unpacked.set(name, inflate(text).then((bytes) => split(content.sentences[line].models[model], bytes)));
  }
  return unpacked.get(name);
}

/** Bytes -> the arrays of a line, in the order in which they were packed. */
function split(seen, bytes) {
  let at = 0;
  const take = (size, scale) => ({ bytes: bytes.subarray(at, (at += size)), scale: scale / 255 });
  const found = { beam: [] };
  for (const [site, layers] of Object.entries(seen.sites)) {
    const [queries, keys] = EDGES[site].map((side) => seen[side].pieces.length);
    found[site] = layers.map((layer) => {
      const made = { heads: layer.heads, queries, keys, used: take(layer.heads * queries * keys, layer.scale) };
      if (layer.dense !== undefined) {
        made.dense = take(layer.heads * queries * keys, layer.dense);
        made.error = take(layer.heads * queries, layer.error);
      }
      return made;
    });
  }
  if (seen.beam) {
    const [nodes, keys] = [seen.beam.nodes.length, seen.source.pieces.length];
    found.beam = seen.beam.heads.map((heads) => ({ heads, keys, used: take(heads * nodes * keys, seen.beam.scale) }));
  }
  return found;
}

/** The weights of one head as {rows, columns, values}; `part`: used, dense, or lost, what of the dense is not used. */
function matrixOf(layer, head, part) {
  const { queries: rows, keys: columns } = layer;
  const size = rows * columns;
  const read = (array) => Float32Array.from(array.bytes.subarray(head * size, (head + 1) * size), (byte) => byte * array.scale);
  if (part === "used" || !layer.dense) return { rows, columns, values: read(layer.used) };
  const dense = read(layer.dense);
  if (part === "dense") return { rows, columns, values: dense };
  const used = read(layer.used);
  return { rows, columns, values: dense.map((weight, at) => weight - used[at]), signed: true };
}

/** Of sub-words the words: weights to a word's tokens are added, those from its tokens averaged. */
function joined(matrix, queries, keys) {
  const rows = queries.labels.length;
  const columns = keys.labels.length;
  const counts = new Float32Array(rows);
  const values = new Float32Array(rows * columns);
  queries.words.forEach((row, at) => {
    counts[row] += 1;
    keys.words.forEach((column, to) => { values[row * columns + column] += matrix.values[at * matrix.columns + to]; });
  });
  return { ...matrix, rows, columns, values: values.map((sum, at) => sum / counts[Math.floor(at / columns)]) };
}

/** One matrix less another. */
function less(one, other) {
  return { ...one, values: one.values.map((weight, at) => weight - other.values[at]), signed: true };
}
