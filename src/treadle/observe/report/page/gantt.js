// The timeline: a row for each worker, a bar for each attempt with its phases, on one scale for all runs that are shown.

function gantt(container, shown, options = {}) {
  const ROW = 24, AXIS = 26, TITLE = shown.length > 1 ? 22 : 0, GAP = 12, PAD = 8;
  const longest = Math.max(...shown.map(({ run }) => run.wall), 1e-6);
  let from = 0, to = longest, margin = 90, current = null, matches = null, onlyCritical = false;
  const lanes = [];
  let y = AXIS;
  for (const { title, run } of shown) {
    if (TITLE) { lanes.push({ title, y, height: TITLE }); y += TITLE; }
    run.workers.forEach((worker, place) => {
      const bars = run.list.filter((attempt) => attempt.worker === place);
      if (!bars.length && worker.name === "main") return;
      lanes.push({ run, worker, y, height: ROW, bars });
      y += ROW;
    });
    y += GAP;
  }
  const height = y;
  const plot = canvas(container, height, {
    tabindex: "0", role: "application", "aria-roledescription": "timeline",
    "aria-label": options.label || "Timeline of the run: a row for each worker. Press N and P to step through the nodes.",
  }, draw);
  const node = plot.node;
  const x = (at, width) => margin + ((at - from) / (to - from)) * (width - margin - PAD);
  const timeAt = (pixel) => from + ((pixel - margin) / (container.clientWidth - margin - PAD)) * (to - from);

  function firstAfter(bars, at) {  // bars of a worker follow each other, so their ends are sorted too
    let low = 0, high = bars.length;
    while (low < high) { const middle = (low + high) >> 1; if (bars[middle].end < at) low = middle + 1; else high = middle; }
    return low;
  }

  function draw(context, width) {
    margin = Math.min(150, Math.max(64, ...lanes.filter((lane) => lane.worker).map((lane) => context.measureText(lane.worker.name).width + 18)));
    const fills = {
      load: pattern(context, colour("load"), "stripes"), run: colour("run"), save: pattern(context, colour("save"), "dots"),
      fail: pattern(context, colour("fail"), "cross"), rest: colour("reused"), startup: pattern(context, colour("startup"), "stripes"),
    };
    const ink = colour("ink"), dim = colour("dim"), line = colour("line"), critical = colour("critical"), accent = colour("accent");
    context.textAlign = "center";
    for (const at of ticks(from, to, (width - margin) / 90)) {
      const place = x(at, width);
      context.fillStyle = line; context.fillRect(place, AXIS - 6, 1, height - AXIS);
      context.fillStyle = dim; context.fillText(seconds(at), Math.max(margin + 12, Math.min(place, width - 24)), 10);
    }
    for (const lane of lanes) {
      context.textAlign = "left";
      if (lane.title) { context.fillStyle = ink; context.font = "600 12px system-ui, sans-serif"; context.fillText(clip(context, lane.title, width - 16), 8, lane.y + 11); context.font = "12px system-ui, sans-serif"; continue; }
      context.fillStyle = line; context.fillRect(0, lane.y + ROW - 0.5, width, 0.5);
      context.fillStyle = ink; context.fillText(clip(context, lane.worker.name, margin - 14), 8, lane.y + ROW / 2);
      context.save();
      context.beginPath(); context.rect(margin, lane.y, width - margin, ROW); context.clip();
      drawStarts(context, lane, width, fills, dim);
      let filled = -1;
      for (let index = firstAfter(lane.bars, from); index < lane.bars.length && lane.bars[index].start <= to; index += 1) {
        const bar = lane.bars[index], left = x(bar.start, width), right = x(bar.end, width);
        const isCritical = lane.run.isCritical.has(bar.node), isChosen = bar === current;
        if (right - left < 1 && right <= filled && !isCritical && !isChosen && bar.outcome === "s") continue;  // hidden by the bars before
        filled = Math.max(filled, Math.ceil(right));
        const faded = (onlyCritical && !isCritical) || (matches && lane.run === CURRENT && !matches.has(bar.node));
        context.globalAlpha = faded ? 0.14 : 1;
        drawBar(context, bar, left, Math.max(right - left, 0.8), lane.y + 3, ROW - 6, fills, { isCritical, critical });
        context.globalAlpha = 1;
        if (isChosen) { context.strokeStyle = accent; context.lineWidth = 3; context.strokeRect(left - 1, lane.y + 2, Math.max(right - left, 1) + 2, ROW - 4); }
        if (right - left > 46 && !faded) label(context, lane.run, bar, left, right, lane.y + ROW / 2);
      }
      context.restore();
    }
  }

  function drawStarts(context, lane, width, fills, dim) {
    for (const [launched, ready, lost] of lane.worker.starts) {
      if (ready !== null) {
        // The first process of a worker starts with the run; one that was there before is ready at once.
        const start = lane.worker.starts[0][1] === ready ? 0 : Math.max(0, launched || ready);
        if (ready > start && lane.worker.name !== "main") {
          context.fillStyle = fills.startup;
          context.fillRect(x(start, width), lane.y + 7, Math.max(x(ready, width) - x(start, width), 1), ROW - 14);
        }
      }
      if (lost !== null) { context.fillStyle = colour("fail"); context.font = "700 14px system-ui, sans-serif"; context.fillText("☠", x(lost, width) - 5, lane.y + ROW / 2); context.font = "12px system-ui, sans-serif"; }
    }
  }

  function drawBar(context, bar, left, wide, top, tall, fills, { isCritical, critical }) {
    if (bar.outcome === "f") { context.fillStyle = fills.fail; context.fillRect(left, top, wide, tall); }
    else if (bar.load === null || wide < 3) { context.fillStyle = bar.outcome === "s" ? fills.run : fills.rest; context.fillRect(left, top, wide, tall); }
    else {
      const unit = wide / (bar.length || 1), load = bar.load * unit, save = bar.save * unit;
      context.fillStyle = fills.run; context.fillRect(left, top, wide, tall);
      context.fillStyle = fills.load; context.fillRect(left, top, Math.min(load, wide), tall);
      context.fillStyle = fills.save; context.fillRect(left + wide - Math.min(save, wide), top, Math.min(save, wide), tall);
    }
    if (bar.number > 1) { context.fillStyle = colour("paper"); context.fillRect(left, top, Math.min(2, wide / 2), tall); }
    if (isCritical) {
      context.fillStyle = critical; context.fillRect(left, top - 2, Math.max(wide, 1), 2.5); context.fillRect(left, top + tall - 0.5, Math.max(wide, 1), 2.5);
    }
  }

  function label(context, run, bar, left, right, middle) {
    const start = Math.max(left, margin) + 5, room = Math.min(right, container.clientWidth) - start - 4;
    const text = clip(context, `${bar.outcome === "f" ? "✘ " : ""}${bar.number > 1 ? `↻${bar.number} ` : ""}${run.names[bar.node]}`, room);
    if (!text) return;
    const wide = context.measureText(text).width;
    context.fillStyle = colour("paper"); context.globalAlpha = 0.88; context.fillRect(start - 3, middle - 7.5, wide + 6, 15); context.globalAlpha = 1;
    context.fillStyle = colour("ink"); context.fillText(text, start, middle);
  }

  function barAt(px, py) {
    const lane = lanes.find((each) => each.worker && py >= each.y && py < each.y + each.height);
    if (!lane || px < margin) return null;
    const at = timeAt(px), near = (to - from) / (container.clientWidth - margin) * 3;
    let best = null;
    for (let index = Math.max(0, firstAfter(lane.bars, at - near)); index < lane.bars.length && lane.bars[index].start <= at + near; index += 1) {
      const bar = lane.bars[index], away = Math.max(bar.start - at, at - bar.end, 0);
      if (!best || away < best.away) best = { bar, away, run: lane.run };
    }
    return best && best.away <= near ? best : null;
  }

  function setRange(start, end) {
    const span = Math.min(Math.max(end - start, longest * 1e-5, 1e-5), longest);
    start = Math.min(Math.max(start, 0), longest - span);
    from = start; to = start + span;
    plot.repaint();
  }
  function zoom(factor, around = (from + to) / 2) { setRange(around - (around - from) * factor, around + (to - around) * factor); }

  function show(bar) {
    current = bar;
    if (bar && (bar.end < from || bar.start > to)) { const span = to - from; setRange(bar.start - span / 3, bar.start + (2 * span) / 3); }
    plot.repaint();
  }

  const point = (event) => { const box = node.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
  let drag = null;
  node.addEventListener("pointerdown", (event) => { const [px] = point(event); drag = { px, from, to, moved: false }; node.setPointerCapture(event.pointerId); });
  node.addEventListener("pointermove", (event) => {
    const [px, py] = point(event);
    if (drag) {
      const shift = ((px - drag.px) / (container.clientWidth - margin - PAD)) * (drag.to - drag.from);
      if (Math.abs(px - drag.px) > 3) drag.moved = true;
      if (drag.moved) { hideTip(); setRange(drag.from - shift, drag.to - shift); }
      return;
    }
    const found = barAt(px, py);
    if (found) showTip(describeAttempt(found.run, found.bar), event.clientX, event.clientY); else hideTip();
  });
  node.addEventListener("pointerup", (event) => {
    const [px, py] = point(event), found = drag && !drag.moved ? barAt(px, py) : null;
    drag = null;
    if (found) { show(found.bar); if (found.run === CURRENT) choose(found.bar.node, "gantt"); }
  });
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("wheel", (event) => {
    const [px] = point(event);
    if (event.ctrlKey || event.metaKey) { event.preventDefault(); zoom(event.deltaY > 0 ? 1.25 : 0.8, timeAt(px)); }
    else if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); const step = (event.deltaX / container.clientWidth) * (to - from); setRange(from + step, to + step); }
  }, { passive: false });
  node.addEventListener("keydown", (event) => {
    const step = (to - from) / 6, bars = shown[0].run.list;
    const place = current ? bars.indexOf(current) : -1;
    const actions = {
      ArrowLeft: () => setRange(from - step, to - step), ArrowRight: () => setRange(from + step, to + step),
      "+": () => zoom(0.7), "=": () => zoom(0.7), "-": () => zoom(1.4), 0: () => setRange(0, longest), Home: () => setRange(0, longest),
      n: () => go(place + 1), N: () => go(place + 1), p: () => go(place - 1), P: () => go(place - 1),
      Enter: () => current && choose(current.node, "gantt"),
    };
    const go = (index) => {
      const bar = bars[Math.min(Math.max(index, 0), bars.length - 1)];
      if (!bar) return;
      show(bar); say(describeAttempt(shown[0].run, bar));
    };
    if (actions[event.key] && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); actions[event.key](); }
  });
  return {
    zoom, setRange, whole: () => setRange(0, longest), range: () => [from, to], selected: () => current, paint: plot.paint,
    find: (set) => { matches = set; plot.repaint(); }, only: (value) => { onlyCritical = value; plot.repaint(); },
    show: (nodeIndex) => show(nodeIndex === null ? null : CURRENT.ofNode[nodeIndex][CURRENT.ofNode[nodeIndex].length - 1] || null),
  };
}

function legend(container) {
  const entries = [
    ["load", "stripes", "load"], ["run", "", "run"], ["save", "dots", "save"], ["fail", "cross", "failed"],
    ["startup", "stripes", "worker starts"], ["critical", "line", "critical path"],
  ];
  const paint = () => {
    container.textContent = "";
    for (const [name, kind, text] of entries) {
      const swatch = element("canvas", { width: "22", height: "12" }), pen = swatch.getContext("2d");
      if (kind === "line") { pen.fillStyle = colour("run"); pen.fillRect(0, 0, 22, 12); pen.fillStyle = colour("critical"); pen.fillRect(0, 0, 22, 2.5); pen.fillRect(0, 9.5, 22, 2.5); }
      else { pen.fillStyle = pattern(pen, colour(name), kind); pen.fillRect(0, 0, 22, 12); }
      container.append(element("span", {}, swatch, text));
    }
    container.append(element("span", {}, "↻2 second attempt"), element("span", {}, "☠ worker lost"));
  };
  paint();
  document.addEventListener("theme", paint);
}
