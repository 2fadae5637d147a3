"use strict";
(() => {
  const story = JSON.parse(document.getElementById("data").textContent);
  const steps = story.steps, words = [...document.getElementById("steps").children];
  const id = (name) => document.getElementById(name);
  const SVG = "http://www.w3.org/2000/svg", WIDE = 58, HIGH = 62;
  const state = { pages: {}, stable: {}, unstable: {}, roots: [[], []], migrated: [], counters: {}, compared: 0 };
  let at = -1;

  function change(kept, changes) {
    for (const name in changes || {}) {
      if (changes[name] === null) delete kept[name]; else kept[name] = changes[name];
    }
  }
  function go(to) {
    to = Math.max(0, Math.min(steps.length - 1, to));
    if (to < at) { // steps only say what has changed: begin anew
      Object.assign(state, { pages: {}, stable: {}, unstable: {}, roots: [[], []], migrated: [], counters: {}, compared: 0 });
      at = -1;
    }
    while (at < to) {
      const step = steps[++at];
      change(state.pages, step.pages); change(state.stable, step.stable); change(state.unstable, step.unstable);
      change(state.counters, step.counters);
      if (step.roots) state.roots = step.roots;
      if (step.migrated) state.migrated = step.migrated;
      if (step.compared) state.compared = step.compared;
    }
    show();
  }
  function element(name, text, className) {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (className) made.className = className;
    return made;
  }
  function drawn(name, attributes, text) {
    const made = document.createElementNS(SVG, name);
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    if (text !== undefined) made.textContent = text;
    return made;
  }
  function placed(nodes, root) { // in order from left to right, each below its parent
    const found = [];
    const walk = (name, depth, parent) => {
      if (!name || !nodes[name]) return;
      walk(nodes[name].left, depth + 1, name);
      found.push({ name, depth, parent, column: found.length });
      walk(nodes[name].right, depth + 1, name);
    };
    walk(root, 0, "");
    return found;
  }
  function face(kind, node) { // letter, what stands below, what is said, whether it no longer holds what it was put there for
    if (kind === "unstable") {
      const page = state.pages[node.page], now = page ? page[1] : "";
      const moved = node.was !== "" && now !== node.was;
      return { letter: now || "–", below: node.page, moved,
        says: node.page + " holds " + (now || "nothing") + (moved ? ", was put here as " + node.was : "") };
    }
    const letters = node.dups.map((dup) => dup[0] || "†"), pages = node.dups.map((dup) => dup[1].length);
    const shared = node.dups.map((dup) => (dup[0] || "a freed page") + " shared by " + (dup[1].join(", ") || "nobody"));
    return { letter: letters[0] || "–", below: node.chain ? pages.join("+") + " chain" : "×" + pages.join("+"), moved: letters[0] === "†",
      says: (node.chain ? "chain: " : "") + shared.join("; ") };
  }
  function tree(kind, roots, met) {
    const room = id(kind), nodes = state[kind];
    room.replaceChildren();
    roots.forEach((root, number) => {
      if (roots.length > 1) room.append(element("p", "NUMA node " + number));
      const found = placed(nodes, root), where = {};
      if (!found.length) { room.append(element("p", "empty", "soft")); return; }
      found.forEach((node) => { where[node.name] = node; });
      const depth = Math.max(...found.map((node) => node.depth)) + 1;
      const wide = found.length * WIDE + 10, high = depth * HIGH + 14;
      const names = found.map((node) => face(kind, nodes[node.name]).says);
      const svg = drawn("svg", { class: "tree", width: wide, height: high, viewBox: "0 0 " + wide + " " + high, role: "img",
        "aria-label": kind + " tree, " + found.length + " nodes from left to right: " + names.join("; ") });
      const x = (node) => node.column * WIDE + WIDE / 2 + 5, y = (node) => node.depth * HIGH + 22;
      found.forEach((node) => {
        if (node.parent) svg.append(drawn("line", { x1: x(node), y1: y(node), x2: x(where[node.parent]), y2: y(where[node.parent]) }));
      });
      found.forEach((node) => {
        const value = nodes[node.name], looks = face(kind, value);
        const group = drawn("g", { class: (met.has(node.name) ? "met " : "") + (looks.moved ? "moved" : ""),
          "data-node": node.name, "data-red": value.red, "data-left": value.left, "data-right": value.right, "data-says": looks.says });
        group.append(drawn("title", {}, looks.says + (value.red ? " (red)" : " (black)")));
        group.append(drawn("circle", { class: "node " + (value.red ? "red" : "black"), cx: x(node), cy: y(node), r: 17 }));
        group.append(drawn("text", { class: "letter", x: x(node), y: y(node) + 5 }, looks.letter));
        group.append(drawn("text", { x: x(node), y: y(node) + 30 }, looks.below));
        svg.append(group);
      });
      room.append(svg);
    });
    if (kind === "stable" && state.migrated.length) {
      room.append(element("p", "on the migrate list: " + state.migrated.map((dup) => dup[0] + " (" + dup[1].join(", ") + ")").join("; ")));
    }
  }
  function color(letter) {
    let value = 0;
    for (const each of letter) value = value * 26 + each.charCodeAt(0);
    return "hsl(" + (value * 47) % 360 + " 60% 50% / .28)";
  }
  function memory(step) {
    const room = id("memory"), rows = {};
    for (const name in state.pages) {
      const cut = name.lastIndexOf(":");
      (rows[name.slice(0, cut)] ||= []).push([Number(name.slice(cut + 1)), state.pages[name], name]);
    }
    room.replaceChildren();
    for (const name in rows) {
      const process = element("div", undefined, "process"), cells = element("div", undefined, "cells");
      process.append(element("b", name));
      rows[name].sort((one, two) => one[0] - two[0]).forEach(([number, [kind, letter], whole]) => {
        const cell = element("span", letter || "·", "cell " + kind + (whole === step.page ? " now" : ""));
        if (letter) cell.style.background = color(letter);
        cell.append(element("small", number));
        cell.title = whole + ": " + (letter ? letter + " (" + (story.contents[letter] || "") + "), " : "") + KINDS[kind];
        cells.append(cell);
      });
      process.append(cells);
      room.append(process);
    }
  }
  const KINDS = { ".": "nothing there", s: "swapped out", z: "the zero page", Z: "the huge zero page", k: "a merged page",
    h: "part of a huge page", a: "a page of its own", p: "anonymous" };
  function table(room, rows, changed) {
    room.replaceChildren(...rows.map(([name, value]) => {
      const row = element("tr", undefined, changed && name in changed ? "changed" : "");
      row.append(element("td", name), element("td", value));
      return row;
    }));
  }
  function show() {
    const step = steps[at], said = words[at];
    id("slider").value = at;
    id("count").textContent = "step " + (at + 1) + " of " + steps.length;
    id("slider").setAttribute("aria-valuetext", id("count").textContent);
    id("says").textContent = said.querySelector("b").textContent;
    const noted = said.querySelector("em");
    if (noted) id("note").textContent = noted.textContent;
    else for (let before = at; before >= 0; before--) {
      const earlier = words[before].querySelector("em");
      if (earlier || before === 0) { id("note").textContent = earlier ? earlier.textContent : ""; break; }
    }
    id("events").replaceChildren(...[...said.querySelectorAll("span")].map((span) => element("li", span.textContent)));
    [...id("lines").children].forEach((line, number) => {
      line.className = number + 1 === step.line ? "now" : "";
      if (number + 1 === step.line) id("lines").scrollTop = line.offsetTop - id("lines").offsetTop - id("lines").clientHeight / 2;
    });
    const met = new Set((step.events || []).map((event) => event[2]));
    tree("stable", state.roots[0], met);
    tree("unstable", state.roots[1], met);
    memory(step);
    table(id("counters"), [...Object.entries(state.counters), ["bytes compared", state.compared]], step.counters || {});
    id("printed").textContent = step.printed ? JSON.stringify(step.printed, null, 1) : "";
    history.replaceState(null, "", "#" + (at + 1));
  }
  function line(from) {
    let to = from + 1;
    while (to < steps.length - 1 && steps[to].line === steps[from].line) to++;
    return to;
  }
  story.lines.forEach((text) => id("lines").append(element("li", text)));
  table(id("contents"), Object.entries(story.contents));
  id("slider").max = steps.length - 1;
  id("slider").addEventListener("input", () => go(Number(id("slider").value)));
  const acts = { first: () => go(0), back: () => go(at - 1), next: () => go(at + 1), line: () => go(line(at)), last: () => go(steps.length - 1) };
  for (const name in acts) id(name).addEventListener("click", acts[name]);
  const keys = { ArrowLeft: "back", ArrowRight: "next", " ": "line", Home: "first", End: "last" };
  document.addEventListener("keydown", (event) => {
    const isControl = event.target.matches("input, button, summary") && event.key === " ";
    if (keys[event.key] && event.target.id !== "slider" && !isControl) { acts[keys[event.key]](); event.preventDefault(); }
  });
  const wanted = () => (Number(location.hash.slice(1)) || 1) - 1;
  window.addEventListener("hashchange", () => { if (wanted() !== at) go(wanted()); });
  id("stage").hidden = false;
  if (steps.length) go(wanted());
})();
