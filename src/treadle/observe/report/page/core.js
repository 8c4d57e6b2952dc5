// Shared by all parts of the page: the data, formats, colours, and the node that is chosen.

const DATA = JSON.parse(document.getElementById("data").textContent);
const RUN = DATA.run;
const OUTCOMES = { s: "succeeded", f: "failed", k: "skipped", u: "up to date", i: "interrupted", r: "running", l: "lost", w: "waiting for a retry", n: "not reached" };
const SYMBOLS = { s: "✔", f: "✘", k: "·", u: "=", i: "■", r: "▶", l: "✘", w: "↻", n: "○" };
const CAUSES = Object.keys(DATA.columns);

const element = (name, attributes = {}, ...children) => {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else made.setAttribute(key, value);
  }
  for (const child of children) if (child !== null && child !== undefined) made.append(child);
  return made;
};

const byId = (id) => document.getElementById(id);
const say = (text) => { byId("live").textContent = text; };

function seconds(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  if (size === 0) return "0";
  if (size < 0.0005) return `${(value * 1e6).toFixed(0)} µs`;
  if (size < 0.9995) return `${Number((value * 1e3).toPrecision(3))} ms`;
  if (size < 59.95) return `${Number(value.toPrecision(3))} s`;
  const whole = Math.round(value);
  if (size < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, "0")} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, "0")} min`;
}

function bytes(value) {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let unit = 0;
  while (value >= 999.5 && unit < 4) { value /= 1000; unit += 1; }
  return `${unit ? Number(value.toPrecision(3)) : Math.round(value)} ${units[unit]}`;
}

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

// Patterns beside colours, so that phases and outcomes can be told apart without colours and in print.
function pattern(context, fill, kind) {
  if (!kind) return fill;
  const tile = document.createElement("canvas");
  tile.width = tile.height = 8;
  const pen = tile.getContext("2d");
  pen.fillStyle = fill;
  pen.fillRect(0, 0, 8, 8);
  pen.strokeStyle = pen.fillStyle = colour("paper");
  pen.lineWidth = 1.4;
  pen.beginPath();
  if (kind === "stripes" || kind === "cross") { pen.moveTo(-2, 10); pen.lineTo(10, -2); pen.moveTo(-2, 2); pen.lineTo(2, -2); pen.moveTo(6, 10); pen.lineTo(10, 6); }
  if (kind === "cross") { pen.moveTo(-2, -2); pen.lineTo(10, 10); }
  if (kind === "dots") { pen.fillRect(1, 1, 2, 2); pen.fillRect(5, 5, 2, 2); }
  pen.stroke();
  return context.createPattern(tile, "repeat");
}

const painters = []; // paint each canvas of the page at once

// A canvas that is as wide as its container and sharp on every screen; `draw` is called with its size in CSS pixels.
function canvas(container, height, attributes, draw) {
  const made = element("canvas", attributes);
  container.append(made);
  const context = made.getContext("2d");
  let planned = false;
  const paint = () => {
    planned = false;
    const width = container.clientWidth;
    if (!width) return;
    const scale = window.devicePixelRatio || 1;
    const tall = typeof height === "function" ? height() : height;
    if (made.width !== Math.round(width * scale) || made.height !== Math.round(tall * scale)) {
      made.width = Math.round(width * scale);
      made.height = Math.round(tall * scale);
      made.style.height = `${tall}px`;
    }
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, width, tall);
    context.font = "12px system-ui, sans-serif";
    context.textBaseline = "middle";
    draw(context, width, tall);
  };
  const repaint = () => { if (!planned) { planned = true; requestAnimationFrame(paint); } };
  new ResizeObserver(repaint).observe(container);
  document.addEventListener("theme", repaint);
  repaint();
  painters.push(paint);
  return { node: made, repaint, paint };
}

function ticks(start, end, most) {
  const span = end - start;
  if (!(span > 0)) return [start];
  const raw = span / Math.max(1, most);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((each) => each * power).find((each) => each >= raw);
  const found = [];
  for (let at = Math.ceil(start / step) * step; at <= end + step * 1e-6; at += step) found.push(Math.abs(at) < step * 1e-6 ? 0 : at);
  return found;
}

function clip(context, text, width) {
  if (width < 14) return "";
  if (context.measureText(text).width <= width) return text;
  let low = 0, high = text.length;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (context.measureText(`${text.slice(0, middle)}…`).width <= width) low = middle; else high = middle - 1;
  }
  return low ? `${text.slice(0, low)}…` : "";
}

function showTip(text, x, y) {
  const tip = byId("tip");
  tip.textContent = text;
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, window.innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > window.innerHeight ? y - box.height - 10 : y + 18}px`;
}
const hideTip = () => { byId("tip").hidden = true; };

// A run of the payload with its columns unpacked.
function unpack(run) {
  const columns = run.attempts;
  const attempts = columns.node.map((node, index) => {
    const of = (name) => (columns[name] === null ? 0 : columns[name][index]);
    const time = (name) => (of(name) < 0 ? null : of(name) * run.unit);
    const attempt = {
      index, node, number: columns.number === null ? 1 : of("number"), worker: of("worker"), outcome: columns.outcome[index],
      start: time("started"), length: time("seconds"), load: time("load"), run: time("run"), save: time("save"), waits: {},
    };
    attempt.end = attempt.start + attempt.length;
    for (const cause of CAUSES) attempt.waits[cause] = time(`wait_${cause}`);
    return attempt;
  });
  const ofNode = run.names.map(() => []);
  for (const attempt of attempts) ofNode[attempt.node].push(attempt);
  return {
    ...run, list: attempts, ofNode, isCritical: new Set(run.critical),
    namespace: (node) => run.namespaces.values[run.namespaces.index[node]],
    source: (node) => run.sources.values[run.sources.index[node]],
  };
}

const CURRENT = RUN ? unpack(RUN) : null;
const listeners = [];
let chosen = null;

function choose(node, from) {
  chosen = node;
  for (const listener of listeners) listener(node, from);
}
const onChoose = (listener) => listeners.push(listener);

function describeAttempt(run, attempt) {
  const lines = [run.names[attempt.node] + (attempt.number > 1 ? ` (attempt ${attempt.number})` : "")];
  if (run.counts && run.counts[attempt.node] > 1) lines.push(`one of ${run.counts[attempt.node].toLocaleString("en")} folded nodes`);
  lines.push(`${SYMBOLS[attempt.outcome]} ${OUTCOMES[attempt.outcome]} on ${run.workers[attempt.worker].name}`);
  lines.push(`${seconds(attempt.start)} to ${seconds(attempt.end)}: ${seconds(attempt.length)}`);
  if (attempt.load !== null) lines.push(`load ${seconds(attempt.load)}, run ${seconds(attempt.run)}, save ${seconds(attempt.save)}`);
  const waits = CAUSES.filter((cause) => attempt.waits[cause] >= 0.0005);
  if (waits.length) lines.push(`waited: ${waits.map((cause) => `${DATA.columns[cause].toLowerCase()} ${seconds(attempt.waits[cause])}`).join(", ")}`);
  if (run.isCritical.has(attempt.node)) lines.push("▲ on the critical path");
  return lines.join("\n");
}
