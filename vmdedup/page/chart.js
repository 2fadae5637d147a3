"use strict";
(() => { // zoom along x: by buttons, by keys, by dragging
  for (const figure of document.querySelectorAll("figure.chart")) {
    const plot = figure.querySelector("svg.plot");
    if (!plot) continue;
    const svg = plot.parentNode, ticks = [...svg.querySelectorAll(".tx")];
    const left = Number(svg.dataset.left), right = Number(svg.dataset.right);
    let from = 0, to = 1;
    const show = () => {
      plot.setAttribute("viewBox", from + " 0 " + (to - from) + " 1");
      ticks.forEach((tick, at) => {
        const value = left + (right - left) * (from + (to - from) * at / (ticks.length - 1));
        tick.textContent = Number(value.toPrecision(4)).toLocaleString("en");
      });
    };
    const set = (one, two) => {
      const wide = Math.min(1, Math.max(0.001, two - one));
      from = Math.min(1 - wide, Math.max(0, one)); to = from + wide; show();
    };
    const zoom = (by) => { const middle = (from + to) / 2, half = (to - from) / 2 * by; set(middle - half, middle + half); };
    const move = (by) => set(from + (to - from) * by, to + (to - from) * by);
    const tools = document.createElement("div");
    tools.className = "tools"; tools.setAttribute("role", "group"); tools.setAttribute("aria-label", "Zoom");
    const acts = [["−", "Zoom out", () => zoom(2)], ["+", "Zoom in", () => zoom(0.5)], ["◀", "Earlier", () => move(-0.5)],
      ["▶", "Later", () => move(0.5)], ["All", "Show all", () => set(0, 1)]];
    for (const [face, name, act] of acts) {
      const button = document.createElement("button");
      button.textContent = face; button.title = name; button.setAttribute("aria-label", name);
      button.addEventListener("click", act); tools.append(button);
    }
    figure.append(tools);
    svg.addEventListener("keydown", (event) => {
      const act = { "+": () => zoom(0.5), "-": () => zoom(2), ArrowLeft: () => move(-0.5), ArrowRight: () => move(0.5), Escape: () => set(0, 1) }[event.key];
      if (act) { act(); event.preventDefault(); }
    });
    let began = null;
    const place = (event) => { const box = plot.getBoundingClientRect(); return from + (to - from) * (event.clientX - box.left) / box.width; };
    svg.addEventListener("pointerdown", (event) => { began = place(event); });
    svg.addEventListener("pointerup", (event) => {
      const ended = place(event);
      if (began !== null && Math.abs(ended - began) > (to - from) / 50) set(Math.min(began, ended), Math.max(began, ended));
      began = null;
    });
    svg.addEventListener("dblclick", () => set(0, 1));
  }
})();
