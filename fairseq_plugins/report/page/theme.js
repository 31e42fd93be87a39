"use strict";
{
  // the theme: as the system has it, light, dark
  const root = document.documentElement;
  const themes = { "": "as the system", light: "light", dark: "dark" };
  const button = document.getElementById("theme");
  const show = (theme) => {
    if (theme) root.dataset.theme = theme;
    else delete root.dataset.theme;
    button.querySelector("span").textContent = themes[theme];
  };
  let kept = "";
  try { kept = localStorage.getItem("theme") || ""; } catch { /* a file may have no storage */ }
  show(kept in themes ? kept : "");
  button.hidden = false;
  button.addEventListener("click", () => {
    const names = Object.keys(themes);
    const next = names[(names.indexOf(root.dataset.theme || "") + 1) % names.length];
    show(next);
    try { localStorage.setItem("theme", next); } catch { /* the choice lasts as long as the page */ }
  });
}
