// Curves over time: concurrency, memory, estimates for other numbers of workers, and the history of the run.

function axes(context, width, height, { left, bottom, top, x, y }) {
  const inner = { left, right: width - 12, top, bottom: height - bottom };
  const px = (value) => inner.left + ((value - x.from) / (x.to - x.from || 1)) * (inner.right - inner.left);
  const py = (value) => inner.bottom - ((value - y.from) / (y.to - y.from || 1)) * (inner.bottom - inner.top);
  context.textAlign = "right";
  for (const at of ticks(y.from, y.to, 4)) {
    context.fillStyle = colour("line"); context.fillRect(inner.left, py(at), inner.right - inner.left, 1);
    context.fillStyle = colour("dim"); context.fillText(y.format(at), inner.left - 6, py(at));
  }
  context.textAlign = "center";
  for (const at of x.ticks || ticks(x.from, x.to, (width - left) / 90)) {
    context.fillStyle = colour("dim"); context.fillText(x.format(at), Math.min(Math.max(px(at), inner.left + 8), inner.right - 12), height - bottom / 2);
  }
  return { px, py, ...inner };
}

function concurrencyChart(container, run) {
  const points = run.concurrency, most = Math.max(...points, run.workers.length, 1);
  canvas(container, 180, { role: "img", "aria-label": `Nodes that ran at the same time: on average ${(points.reduce((a, b) => a + b, 0) / (points.length || 1)).toFixed(1)}, at most ${Math.max(...points, 0).toFixed(1)}` }, (context, width, height) => {
    const { px, py, left, right } = axes(context, width, height, { left: 40, bottom: 24, top: 10, x: { from: 0, to: run.wall, format: seconds }, y: { from: 0, to: most, format: (value) => String(Number(value.toFixed(1))) } });
    context.fillStyle = colour("run"); context.globalAlpha = 0.75; context.beginPath(); context.moveTo(left, py(0));
    points.forEach((count, index) => { context.lineTo(px((index / points.length) * run.wall), py(count)); context.lineTo(px(((index + 1) / points.length) * run.wall), py(count)); });
    context.lineTo(right, py(0)); context.fill(); context.globalAlpha = 1;
  });
}

function memoryChart(container, run) {
  const { times, processes, limit } = run.memory;
  const totals = times.map((_, index) => processes.reduce((sum, [, sizes]) => sum + (sizes[index] || 0), 0) * 1e5);
  const peak = Math.max(...totals, 1), top = limit && limit < peak * 1.6 ? limit : peak;
  const end = Math.max(run.wall, times[times.length - 1] || 0);
  const shades = ["run", "save", "transfer", "startup", "worker", "resource", "load", "inputs"];
  const label = `Memory of ${processes.length} process${processes.length === 1 ? "" : "es"}: at most ${bytes(peak)}${limit ? ` of ${bytes(limit)}` : ""}`;
  canvas(container, 180, { role: "img", "aria-label": label }, (context, width, height) => {
    const { px, py, left, right } = axes(context, width, height, { left: 62, bottom: 24, top: 10, x: { from: 0, to: end, format: seconds }, y: { from: 0, to: top * 1.05, format: bytes } });
    let below = times.map(() => 0);
    processes.forEach(([, sizes], place) => {
      const above = below.map((base, index) => base + (sizes[index] || 0) * 1e5);
      context.fillStyle = pattern(context, colour(shades[place % shades.length]), ["", "dots", "stripes"][place % 3]);
      context.beginPath();
      times.forEach((at, index) => context.lineTo(px(at), py(above[index])));
      if (times.length === 1) context.lineTo(px(end), py(above[0]));
      for (let index = times.length - 1; index >= 0; index -= 1) { if (times.length === 1) context.lineTo(px(end), py(below[0])); context.lineTo(px(times[index]), py(below[index])); }
      context.fill();
      below = above;
    });
    if (limit && limit <= top * 1.05) { context.strokeStyle = colour("fail"); context.setLineDash([5, 4]); context.beginPath(); context.moveTo(left, py(limit)); context.lineTo(right, py(limit)); context.stroke(); context.setLineDash([]); }
  });
  container.append(element("p", { class: "legend" }, label + ". ", processes.slice(0, 12).map(([name, sizes]) => `${name}: ${bytes(Math.max(...sizes.map((size) => size || 0)) * 1e5)}`).join(" · ")));
}

function whatIfChart(container, estimates) {
  const all = estimates.makespans, points = all.filter(([, took]) => took !== null), last = all[all.length - 1][0];
  // The run itself is marked also if its number of workers was not simulated.
  const marked = points.some(([count]) => count === estimates.now) ? points : [...points, [estimates.now, estimates.recorded]];
  const most = Math.max(...all.map(([, , least]) => least), ...marked.map(([, took]) => took), 1e-9);
  canvas(container, 230, { role: "img", "aria-label": `Estimated durations for 1 to ${last} workers; the table below has the numbers` }, (context, width, height) => {
    const { px, py, right } = axes(context, width, height, {
      left: 84, bottom: 26, top: 12, x: { from: 1, to: last, ticks: [1, 2, 4, 8, 16, 24, 32].filter((each) => each <= last), format: (value) => String(value) }, y: { from: 0, to: most * 1.05, format: seconds },
    });
    const curve = (values, name, dash) => {
      context.strokeStyle = colour(name); context.lineWidth = 2; context.setLineDash(dash); context.beginPath();
      values.forEach(([count, took]) => context.lineTo(px(count), py(took))); context.stroke(); context.setLineDash([]); context.lineWidth = 1;
    };
    curve(all.map(([count, , least]) => [count, least]), "dim", [4, 4]);
    curve(points, "run", []);
    for (const [count, took] of marked) {
      context.beginPath(); context.arc(px(count), py(took), count === estimates.now ? 6 : 3, 0, 7);
      context.fillStyle = colour(count === estimates.now ? "save" : "run"); context.fill();
      if (count === estimates.now) { context.strokeStyle = colour("ink"); context.stroke(); context.fillStyle = colour("ink"); context.textAlign = px(count) > right - 120 ? "right" : "left"; context.fillText(`this run: ${count} worker${count === 1 ? "" : "s"}`, px(count) + (context.textAlign === "left" ? 10 : -10), py(took) - 9); }
    }
    context.textAlign = "right"; context.fillStyle = colour("dim"); context.fillText("workers", right - 24, height - 13);
    context.fillText("- - lower bound", right - 4, 14); // the curves fall, so this corner is free
  });
}

function historyChart(container, history) {
  const runs = [...history.runs, ["this run", history.now, "now"]], most = Math.max(...runs.map(([, took]) => took), 1e-9);
  canvas(container, 170, { role: "img", "aria-label": `Durations of this run (${seconds(history.now)}) and of ${history.runs.length} earlier runs` }, (context, width, height) => {
    const { px, py, bottom } = axes(context, width, height, { left: 84, bottom: 24, top: 10, x: { from: -0.5, to: runs.length - 0.5, ticks: [0, runs.length - 1], format: (value) => (value ? "this run" : "oldest") }, y: { from: 0, to: most * 1.08, format: seconds } });
    const wide = Math.max(2, Math.min(28, (px(1) - px(0)) * 0.7));
    runs.forEach(([, took, outcome], index) => {
      context.fillStyle = outcome === "now" ? colour("save") : outcome === "succeeded" ? colour("run") : pattern(context, colour("fail"), "cross");
      context.fillRect(px(index) - wide / 2, py(took), wide, bottom - py(took));
    });
  });
  container.append(element("p", { class: "legend" }, "Blue: succeeded. Crossed red: failed or interrupted. Orange: this run."));
}

function sparkline(container, values, now) {
  const known = [...values, now].filter((value) => value !== null);
  if (known.length < 2) return;
  const node = element("canvas", { width: "240", height: "44", role: "img", "aria-label": `Trend of ${known.length} runs` });
  container.append(node);
  const paint = () => {
    const pen = node.getContext("2d"), most = Math.max(...known) || 1, all = [...values, now];
    pen.clearRect(0, 0, 240, 44);
    const px = (index) => 6 + (index / Math.max(1, all.length - 1)) * 226, py = (value) => 38 - (value / most) * 32;
    pen.strokeStyle = colour("dim"); pen.lineWidth = 2; pen.beginPath();
    all.forEach((value, index) => { if (value !== null) pen.lineTo(px(index), py(value)); });
    pen.stroke();
    if (now !== null) { pen.fillStyle = colour("save"); pen.beginPath(); pen.arc(px(all.length - 1), py(now), 5, 0, 7); pen.fill(); }
  };
  paint();
  document.addEventListener("theme", paint);
}
