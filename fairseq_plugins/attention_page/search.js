// The losses of tokens, and the beam search: what each hypothesis attended to, step by step.

/** Tokens in their order, the darker the larger their loss. */
function drawLosses(list, side, losses) {
  const numbers = losses.map((loss) => (loss === "inf" ? Infinity : loss));
  const [red, green, blue] = channels(colour("s2"));
  list.replaceChildren(...side.pieces.map((piece, at) => {
    const loss = numbers[at];
    const told = loss === null || loss === undefined ? "not predicted" : `${loss === Infinity ? "infinite" : loss.toFixed(2)} nats`;
    const part = loss ? Math.min(1, loss / 10) * 0.75 : 0;
    const item = make("li", { title: `${piece}: ${told}` }, make("bdi", {}, visible(piece)), make("small", {}, loss === null || loss === undefined ? "–" : loss === Infinity ? "∞" : loss.toFixed(1)));
    item.style.backgroundColor = `rgb(${red} ${green} ${blue} / ${part.toFixed(3)})`;
    return item;
  }));
}

/** The tokens of a beginning of a hypothesis. */
function piecesOf(nodes, node) {
  const found = [];
  for (let at = node; at > 0; at = nodes[at][0]) found.unshift(nodes[at][1]);
  return found;
}

/** Hypotheses at a step, as a table: a row each, a column for each token of the source. */
function drawBeam(box, beam, layer, head, source, step) {
  const alive = beam.steps[step];
  const table = make("table", { class: "beam" });
  const header = make("tr", {}, make("th", { scope: "col" }, "hypothesis"), make("th", { scope: "col", class: "n" }, "log p"));
  header.append(...source.map((piece) => make("th", { scope: "col", class: "token" }, make("bdi", {}, visible(piece)))));
  table.append(make("thead", {}, header));
  const [red, green, blue] = channels(colour("s1"));
  const nodes = beam.nodes.length;
  const body = make("tbody");
  for (const node of alive) {
    const pieces = piecesOf(beam.nodes, node);
    const row = make("tr", {}, make("th", { scope: "row" }, make("bdi", {}, pieces.map(visible).join(" ") || "(nothing yet)")), make("td", { class: "n" }, withMinus(beam.nodes[node][2], 2)));
    source.forEach((piece, key) => {
      const weight = layer.used.bytes[(head * nodes + node) * layer.keys + key] * layer.used.scale;
      const cell = make("td", { class: "weight", title: `${piece}: ${weightText(weight)}` }, make("span", { class: "unseen" }, weightText(weight)));
      cell.style.backgroundColor = `rgb(${red} ${green} ${blue} / ${strength(weight).toFixed(3)})`;
      row.append(cell);
    });
    body.append(row);
  }
  table.append(body);
  const ranked = make("ol", { class: "finished" });
  ranked.append(...beam.finished.map(([, pieces, score]) => make("li", {}, make("bdi", {}, pieces.map(visible).join(" ")), make("small", {}, ` ${withMinus(score, 3)}`))));
  box.replaceChildren(table, make("h3", {}, "Hypotheses that were finished, by score"), ranked);
}
