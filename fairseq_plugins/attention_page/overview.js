// A thumbnail for every head, by layer or by what heads do.

/** The numbers of a head in words. */
function headFacts(head) {
  const share = head.kind === "mixed" || head.kind === "broad" ? "" : ` (${Math.round(100 * head.share)} % of its weight)`;
  const parts = [`looks at ${MEANINGS[head.kind]}${share}`, `entropy ${head.entropy.toFixed(2)} nats`, `mean distance ${head.distance.toFixed(1)} tokens`];
  if (head.error !== null) parts.push(`output error ${head.error.toFixed(3)}`);
  if (head.rates) parts.push(`alignment error rate ${head.rates[0].toFixed(3)} by the query that predicts a word, ${head.rates[1].toFixed(3)} by the one that reads it`);
  return `${parts.join("; ")}.`;
}

/** The thumbnail of a head as a button. */
function thumbnail(one, chosen, choose) {
  const label = `Layer ${one.layer + 1}, head ${one.head + 1}: ${headFacts(one.facts)}`;
  const button = make("button", { type: "button", class: "thumbnail", title: label, "aria-label": label, "aria-pressed": String(chosen), "data-head": headName(one.layer, one.head) });
  const name = headName(one.layer, one.head);
  const kind = one.facts.rates ? `AER ${Math.min(...one.facts.rates).toFixed(2)}` : one.facts.kind;
  button.append(pixels(one.matrix), make("span", { class: "name" }, one.partner ? `${name} − ${one.partner}` : name));
  if (!one.partner) button.append(make("span", { class: "kind" }, kind));
  button.addEventListener("click", () => choose(one.layer, one.head));
  return button;
}

/** All of them; `heads` are {layer, head, facts, matrix, partner}. */
function drawOverview(box, heads, sort, chosen, choose) {
  const groups = new Map();
  for (const one of heads) {
    const name = sort === "layer" ? `layer ${one.layer + 1}` : one.facts.kind;
    if (!groups.has(name)) groups.set(name, []);
    groups.get(name).push(one);
  }
  const order = sort === "layer" ? [...groups.keys()] : Object.keys(MEANINGS).filter((kind) => groups.has(kind));
  const focused = box.contains(document.activeElement);
  box.replaceChildren(...order.map((name) => {
    const members = groups.get(name);
    if (sort === "kind") members.sort((a, b) => b.facts.share - a.facts.share);
    const title = sort === "layer" ? name : `${name}: ${MEANINGS[name]}`;
    const row = make("div", { class: "row", role: "group", "aria-label": title });
    row.append(...members.map((one) => thumbnail(one, one.layer === chosen[0] && one.head === chosen[1], choose)));
    return make("div", { class: "heads" }, make("h3", {}, title), row);
  }));
  if (focused) box.querySelector('[aria-pressed="true"]')?.focus();
}
