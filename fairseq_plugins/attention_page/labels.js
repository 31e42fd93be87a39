// How things are called and made.

const MEANINGS = {
  previous: "the token before", next: "the token after", self: "the token itself", diagonal: "the same part of the source",
  first: "the first token", last: "the last token", punctuation: "punctuation", broad: "broadly, all tokens", mixed: "nothing in particular",
};

/** An element with text or children. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/** An element of SVG. */
function draw(name, attributes = {}, text = "") {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text) element.textContent = text;
  return element;
}

/** A colour of the theme as it is now, such as "ink": pictures that are saved must not depend on the page. */
function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A weight as text, with a sign where it is a difference. */
function weightText(value, signed = false) {
  const text = Math.abs(value) < 0.0005 ? "0" : Math.abs(value).toFixed(3);
  if (!signed || text === "0") return text;
  return (value > 0 ? "+" : "−") + text;
}

/** A number with the sign that is as wide as a digit. */
function withMinus(value, digits) {
  return value.toFixed(digits).replace("-", "−");
}

/** What is shown of a token that would not be seen. */
function visible(piece) {
  return piece.trim() === "" ? (piece === "" ? "∅" : "␣") : piece;
}

/** Layer and head from 1, as in "2.3". */
function headName(layer, head) {
  return `${layer + 1}.${head + 1}`;
}

/** Choices as buttons of which one is pressed; none where there is no choice. */
function choices(box, options, chosen, choose) {
  const focused = box.contains(document.activeElement);
  const entries = Object.entries(options);
  box.hidden = entries.length < 2;
  box.replaceChildren(...entries.map(([value, text]) => {
    const button = make("button", { type: "button", "aria-pressed": String(value === chosen), "data-value": value }, text);
    button.addEventListener("click", () => choose(value));
    return button;
  }));
  if (focused) box.querySelector('[aria-pressed="true"]')?.focus();
}

/** Text that is cut to a width in letters, the whole of it being told elsewhere. */
function short(text, letters) {
  const all = Array.from(text);
  return all.length > letters ? `${all.slice(0, letters - 1).join("")}…` : text;
}
