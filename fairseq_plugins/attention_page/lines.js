// Tokens against tokens as lines: queries on the left, keys on the right, the stronger the heavier.

/** Weights below this have no line. */
const FAINT = 0.02;

/** The lines as SVG; a query that is pointed at, or chosen by arrow keys, has its lines alone. */
function drawLines(matrix, rows, columns, title, start, look) {
  const high = 22;
  const longest = (names) => 14 + 8 * Math.max(...names.map((name) => Array.from(short(visible(name), 16)).length), 3);
  const [left, between, right] = [longest(rows), 220, longest(columns)];
  const width = left + between + right;
  const height = high * Math.max(matrix.rows, matrix.columns) + 12;
  const svg = draw("svg", {
    viewBox: `0 0 ${width} ${height}`, width, height, role: "application", tabindex: 0, "aria-roledescription": "lines",
    "aria-label": `${title}. Arrow keys up and down choose a query, left and right its keys from the largest weight on.`,
    "font-family": "system-ui, sans-serif", "font-size": 13,
  });
  const wash = svg.appendChild(draw("rect", { x: 0, width: left - 2, height: high, fill: colour("wash") }));
  const strands = rows.map(() => svg.appendChild(draw("g")));
  for (let row = 0; row < matrix.rows; row += 1) {
    for (let column = 0; column < matrix.columns; column += 1) {
      const value = matrix.values[row * matrix.columns + column];
      if (Math.abs(value) < FAINT) continue;
      strands[row].append(draw("line", {
        x1: left, y1: (row + 0.5) * high, x2: left + between, y2: (column + 0.5) * high,
        stroke: colour(value < 0 ? "s2" : "s1"), "stroke-width": 0.8 + 3.2 * strength(value), "stroke-opacity": 0.15 + 0.85 * strength(value), "stroke-linecap": "round",
      }));
    }
  }
  const text = (name, index, x, anchor) => draw("text", { x, y: (index + 0.5) * high + 4.5, "text-anchor": anchor, fill: colour("ink") }, short(visible(name), 16));
  svg.append(...rows.map((name, row) => text(name, row, left - 8, "end")));
  svg.append(...columns.map((name, column) => text(name, column, left + between + 8, "start")));
  let [row, rank] = [Math.min(start[0], matrix.rows - 1), 0];
  const move = (to, toRank) => {
    row = Math.max(0, Math.min(matrix.rows - 1, to));
    const weights = Array.from(matrix.values.subarray(row * matrix.columns, (row + 1) * matrix.columns));
    const order = weights.map((_, at) => at).sort((a, b) => Math.abs(weights[b]) - Math.abs(weights[a]));
    rank = Math.max(0, Math.min(matrix.columns - 1, toRank));
    wash.setAttribute("y", row * high);
    strands.forEach((strand, at) => strand.setAttribute("opacity", at === row ? 1 : 0.12));
    look(row, order[rank]);
  };
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const to = Math.floor((event.clientY - box.top) * (height / box.height) / high);
    if (to !== row && to >= 0 && to < matrix.rows && event.clientX - box.left < (left + 60) * (box.width / width)) move(to, 0);
  });
  svg.addEventListener("keydown", (event) => {
    const steps = { ArrowUp: [row - 1, 0], ArrowDown: [row + 1, 0], ArrowLeft: [row, rank - 1], ArrowRight: [row, rank + 1], Home: [0, 0], End: [matrix.rows - 1, 0] };
    if (!steps[event.key]) return;
    event.preventDefault();
    move(...steps[event.key]);
  });
  move(row, 0);
  return svg;
}
