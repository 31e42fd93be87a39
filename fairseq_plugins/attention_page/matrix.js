// Tokens against tokens: a picture of a pixel a weight, with names along its edges and a cursor.

/** How strong a weight is drawn, from 0 to 1: small ones are seen, too. */
function strength(value) {
  return Math.min(1, Math.abs(value)) ** 0.6;
}

/** "#rrggbb" -> three numbers. */
function channels(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

/** A canvas with a pixel for each weight. */
function pixels(matrix) {
  const { rows, columns, values } = matrix;
  const canvas = make("canvas", { width: Math.max(columns, 1), height: Math.max(rows, 1) });
  const image = new ImageData(canvas.width, canvas.height);
  const paper = channels(colour("paper"));
  const [more, fewer] = [channels(colour("s1")), channels(colour("s2"))];
  values.forEach((value, at) => {
    const part = strength(value);
    const towards = value < 0 ? fewer : more;
    for (let channel = 0; channel < 3; channel += 1) {
      image.data[4 * at + channel] = Math.round(paper[channel] + part * (towards[channel] - paper[channel]));
    }
    image.data[4 * at + 3] = 255;
  });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** How wide a cell is where there is some room, and whether tokens are named: many are where the cursor is, alone. */
function cellSize(matrix, room) {
  const most = Math.max(matrix.rows, matrix.columns, 1);
  const named = most <= 80;
  const wide = Math.min(620, room);
  return { cell: named ? Math.max(13, Math.min(26, Math.floor(wide / matrix.columns))) : Math.max(2, wide / most), named };
}

/**
 * The matrix as SVG; `look(row, column)` is told where the cursor is.
 * Arrow keys, Home and End move it, and so does the pointer.
 */
function drawMatrix(matrix, rows, columns, title, start, look, room) {
  const longest = (names) => (Math.max(rows.length, columns.length) > 80 ? 100 : 8 * Math.max(...names.map((name) => Array.from(short(visible(name), 16)).length), 1));
  const [left, top] = [12 + longest(rows), 12 + longest(columns)];
  const { cell, named } = cellSize(matrix, room - left - 8);
  const size = Math.min(13, cell * 0.8);
  const [width, height] = [matrix.columns * cell, matrix.rows * cell];
  const svg = draw("svg", {
    viewBox: `0 0 ${left + width + 8} ${top + height + 8}`, width: left + width + 8, height: top + height + 8,
    role: "application", tabindex: 0, "aria-roledescription": "matrix", "aria-label": `${title}. Arrow keys read the weights.`,
    "font-family": "system-ui, sans-serif", "font-size": size,
  });
  svg.append(draw("image", {
    x: left, y: top, width, height, href: pixels(matrix).toDataURL(), preserveAspectRatio: "none", style: "image-rendering: pixelated",
  }));
  svg.append(draw("rect", { x: left, y: top, width, height, fill: "none", stroke: colour("rule") }));
  const bar = { fill: "none", stroke: colour("ink"), "stroke-width": 1, "pointer-events": "none" };
  const [across, down] = [draw("rect", { ...bar, x: left, width, height: cell }), draw("rect", { ...bar, y: top, width: cell, height })];
  const names = { rows: [], columns: [] };
  const name = (text, index, upright) => {
    const at = (upright ? left : top) + (index + 0.5) * cell;
    const place = upright ? { transform: `translate(${at + size * 0.35} ${top - 6}) rotate(-90)` } : { x: left - 6, y: at + size * 0.35, "text-anchor": "end" };
    return draw("text", { ...place, fill: colour("muted") }, short(visible(text), 16));
  };
  if (named) {
    names.rows = rows.map((text, row) => svg.appendChild(name(text, row, false)));
    names.columns = columns.map((text, column) => svg.appendChild(name(text, column, true)));
  }
  const floating = [];
  let [row, column] = [Math.min(start[0], matrix.rows - 1), Math.min(start[1], matrix.columns - 1)];
  const move = (toRow, toColumn, told) => {
    const before = [names.rows[row], names.columns[column]];
    row = Math.max(0, Math.min(matrix.rows - 1, toRow));
    column = Math.max(0, Math.min(matrix.columns - 1, toColumn));
    across.setAttribute("y", top + row * cell);
    down.setAttribute("x", left + column * cell);
    floating.splice(0).forEach((text) => text.remove());
    before.forEach((text) => text?.setAttribute("fill", colour("muted")));
    [names.rows[row], names.columns[column]].forEach((text) => text?.setAttribute("fill", colour("ink")));
    if (!named) {
      floating.push(svg.appendChild(name(rows[row], row, false)), svg.appendChild(name(columns[column], column, true)));
      floating.forEach((text) => { text.setAttribute("font-size", 12); });
    }
    if (told) look(row, column);
  };
  svg.append(across, down);
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const scale = (left + width + 8) / box.width;
    const to = [((event.clientY - box.top) * scale - top) / cell, ((event.clientX - box.left) * scale - left) / cell].map(Math.floor);
    if (to[0] >= 0 && to[1] >= 0 && to[0] < matrix.rows && to[1] < matrix.columns) move(...to, true);
  });
  svg.addEventListener("keydown", (event) => {
    const steps = {
      ArrowUp: [row - 1, column], ArrowDown: [row + 1, column], ArrowLeft: [row, column - 1], ArrowRight: [row, column + 1],
      Home: [row, 0], End: [row, matrix.columns - 1],
    };
    if (!steps[event.key]) return;
    event.preventDefault();
    move(...steps[event.key], true);
  });
  move(row, column, true);
  return svg;
}

/** The scale of the colours. */
function drawKey(signed) {
  const width = 220;
  const values = Float32Array.from({ length: width }, (_, at) => (signed ? 2 * at / (width - 1) - 1 : at / (width - 1)));
  const svg = draw("svg", { viewBox: `-8 0 ${width + 16} 30`, width: width + 16, height: 30, "aria-hidden": "true", "font-family": "system-ui, sans-serif", "font-size": 11 });
  svg.append(draw("image", { width, height: 10, href: pixels({ rows: 1, columns: width, values }).toDataURL(), preserveAspectRatio: "none" }));
  svg.append(draw("rect", { width, height: 10, fill: "none", stroke: colour("rule") }));
  for (const value of signed ? [-1, -0.5, 0, 0.5, 1] : [0, 0.1, 0.25, 0.5, 1]) {
    const x = (signed ? (value + 1) / 2 : value) * width;
    svg.append(draw("text", { x, y: 24, "text-anchor": "middle", fill: colour("muted") }, String(value).replace("-", "−")));
  }
  return svg;
}
