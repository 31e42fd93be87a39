"use strict";
{
  // what is printed is open
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((one) => { one.open = true; }));

  // a button for each command
  for (const command of document.querySelectorAll(".command pre")) {
    const copy = document.createElement("button");
    copy.type = "button";
    copy.textContent = "Copy";
    copy.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(command.textContent);
        copy.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(command);
        copy.textContent = "Selected: press Ctrl+C";
      }
      setTimeout(() => { copy.textContent = "Copy"; }, 2000);
    });
    command.before(copy);
  }

  // learning curves: the losses at an update, by pointer or arrow keys
  const data = document.getElementById("readout-data");
  const models = data ? JSON.parse(data.textContent) : [];
  const updates = [...new Set(models.flatMap((model) => model.points.map((point) => point[0])))].sort((a, b) => a - b);
  const readout = document.getElementById("readout");
  for (const box of updates.length ? document.querySelectorAll("[data-readout]") : []) {
    const panels = JSON.parse(box.dataset.readout);
    const svg = box.querySelector("svg");
    const last = updates[updates.length - 1];
    const rules = panels.map(([, top, , height]) => {
      const rule = document.createElementNS(svg.namespaceURI, "line");
      rule.setAttribute("stroke", "var(--ink)");
      rule.setAttribute("y1", top);
      rule.setAttribute("y2", top + height);
      rule.setAttribute("visibility", "hidden");
      return svg.appendChild(rule);
    });
    let place = updates.length - 1;
    const read = (index) => {
      place = Math.max(0, Math.min(updates.length - 1, index));
      const at = updates[place];
      panels.forEach(([left, , width], panel) => {
        const x = left + (at / last) * width;
        rules[panel].setAttribute("x1", x);
        rules[panel].setAttribute("x2", x);
        rules[panel].setAttribute("visibility", "visible");
      });
      const head = document.createElement("b");
      head.textContent = `update ${at.toLocaleString("en")}`;
      readout.replaceChildren(head);
      for (const model of models) {
        const point = model.points.find((one) => one[0] === at);
        if (!point) continue;
        const item = document.createElement("span");
        item.innerHTML = model.key;
        item.append(`${model.name} `, Object.assign(document.createElement("b"), { textContent: point[1].toFixed(3) }));
        if (point[2] < point[3]) item.append(` (${point[2].toFixed(3)}–${point[3].toFixed(3)})`);
        readout.append(item);
      }
    };
    const hide = () => rules.forEach((rule) => rule.setAttribute("visibility", "hidden"));
    box.addEventListener("pointermove", (event) => {
      const size = svg.getBoundingClientRect();
      const scale = svg.viewBox.baseVal.width / size.width;
      const x = (event.clientX - size.left) * scale;
      const y = (event.clientY - size.top) * scale;
      const panel = panels.find(([left, top, width, height]) =>
        x >= left - 12 && x <= left + width + 12 && y >= top - 30 && y <= top + height + 30);
      if (!panel) return;
      const wanted = ((x - panel[0]) / panel[2]) * last;
      read(updates.reduce((best, at, index) => Math.abs(at - wanted) < Math.abs(updates[best] - wanted) ? index : best, 0));
    });
    box.addEventListener("pointerleave", hide);
    box.addEventListener("focus", () => { if (box.matches(":focus-visible")) read(place); });
    box.addEventListener("blur", hide);
    box.addEventListener("keydown", (event) => {
      const steps = { ArrowLeft: place - 1, ArrowRight: place + 1, Home: 0, End: updates.length - 1 };
      if (!(event.key in steps)) return;
      event.preventDefault();
      read(steps[event.key]);
    });
    readout.hidden = false;
    if (box.offsetParent) read(place);
    hide();
  }
}
