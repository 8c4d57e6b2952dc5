// The graph: nodes in columns by their longest path from the start. Groups (namespaces, or nodes with similar names) can be folded.

function graphView(container, run) {
  const WIDE = 168, TALL = 34, ACROSS = 74, DOWN = 14, MOST = 400;
  const pathOf = (node) => {
    const space = run.namespace(node), parts = space ? space.split(".") : [];
    const groups = parts.map((_, index) => `n:${parts.slice(0, index + 1).join(".")}`);
    return groups;
  };
  // A group with many members gets a level below it: members whose names differ only by numbers.
  const groupsOf = run.names.map((_, node) => pathOf(node));
  const members = new Map();
  groupsOf.forEach((groups, node) => { const home = groups[groups.length - 1] || ""; const key = `${home}|${run.names[node].replace(/\d+/g, "#")}`; if (!members.has(key)) members.set(key, []); members.get(key).push(node); });
  if (run.names.length > 60) for (const [key, nodes] of members) if (nodes.length > 8) for (const node of nodes) groupsOf[node] = [...groupsOf[node], `p:${key}`];
  const known = new Set(groupsOf.flat());
  let folded = new Set(run.names.length > 60 ? known : []), byDuration = false, withDatasets = false;
  const stepOf = new Map(run.critical.map((node, step) => [node, step]));
  const followsOnPath = (parent, node) => stepOf.has(parent) && stepOf.get(node) === stepOf.get(parent) + 1;
  const lengths = run.names.map((_, node) => run.ofNode[node].reduce((sum, each) => sum + each.length, 0));
  const longest = Math.max(...lengths, 1e-9);

  const nameOf = (group) => (group.startsWith("n:") ? group.slice(2) : group.slice(group.indexOf("|") + 1));
  function itemOf(node) { const group = groupsOf[node].find((each) => folded.has(each)); return group ? `g${group}` : `i${node}`; }

  function collect() {
    const items = new Map(), edges = new Map();
    const where = run.names.map((_, node) => itemOf(node));
    run.names.forEach((name, node) => {
      const key = where[node];
      if (!items.has(key)) items.set(key, { key, nodes: [], group: key[0] === "g" ? key.slice(1) : null });
      items.get(key).nodes.push(node);
    });
    const connect = (a, b, critical) => { if (a === b) return; const key = `${a}>${b}`; const edge = edges.get(key) || { a, b, critical: false }; edge.critical = edge.critical || critical; edges.set(key, edge); };
    const hasDatasets = withDatasets && run.datasets;
    if (hasDatasets) {
      const link = (dataset) => { const key = `d${dataset}`; if (!items.has(key)) items.set(key, { key, nodes: [], dataset }); return key; };
      run.outputs.forEach((outputs, node) => { for (const dataset of outputs) connect(where[node], link(dataset), false); });
      run.inputs.forEach((inputs, node) => { for (const dataset of inputs) connect(link(dataset), where[node], false); });
    } else if (run.parents) run.parents.forEach((parents, node) => { for (const parent of parents) connect(where[parent], where[node], followsOnPath(parent, node)); });
    place(items, edges);
    return { items, edges };
  }

  function place(items, edges) {
    const after = new Map([...items.keys()].map((key) => [key, []])), before = new Map([...items.keys()].map((key) => [key, 0]));
    for (const { a, b } of edges.values()) { after.get(a).push(b); before.set(b, before.get(b) + 1); }
    for (const item of items.values()) { item.column = 0; item.row = item.nodes.length ? item.nodes.reduce((sum, node) => sum + run.rows[node], 0) / item.nodes.length : null; }
    const ready = [...before].filter(([, count]) => !count).map(([key]) => key), done = new Set();
    while (done.size < items.size) {
      if (!ready.length) ready.push([...items.keys()].find((key) => !done.has(key)));  // folded groups may form a circle
      const key = ready.shift();
      if (done.has(key)) continue;
      done.add(key);
      for (const next of after.get(key)) {
        if (done.has(next)) continue;
        items.get(next).column = Math.max(items.get(next).column, items.get(key).column + 1);
        before.set(next, before.get(next) - 1);
        if (before.get(next) <= 0) ready.push(next);
      }
    }
    for (const { a, b } of edges.values()) { const one = items.get(a), two = items.get(b); if (one.row === null) one.row = two.row; if (two.row === null) two.row = one.row; }
    if (withDatasets) for (const item of items.values()) if (item.dataset !== undefined && !before.get(item.key)) { const next = after.get(item.key).map((key) => items.get(key).column); if (next.length && ![...edges.values()].some(({ b }) => b === item.key)) item.column = Math.max(0, Math.min(...next) - 1); }
    const columns = [];
    for (const item of items.values()) (columns[item.column] = columns[item.column] || []).push(item);
    const most = Math.max(...columns.map((column) => (column || []).length), 1);
    columns.forEach((column, at) => {
      (column || []).sort((one, two) => (one.row ?? 0) - (two.row ?? 0));
      (column || []).forEach((item, row) => { item.x = 16 + at * (WIDE + ACROSS); item.y = 16 + (row + (most - column.length) / 2) * (TALL + DOWN); });
    });
    items.width = 32 + columns.length * (WIDE + ACROSS) - ACROSS;
    items.height = 32 + most * (TALL + DOWN);
  }

  const svg = (name, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) if (value !== null) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };

  function worst(nodes) { return ["f", "l", "i", "w", "r", "s", "u", "k", "n"].find((letter) => nodes.some((node) => run.outcomes[node] === letter)) || "k"; }
  function tint(item) {
    if (byDuration) return { name: "run", strength: Math.sqrt(Math.max(...item.nodes.map((node) => lengths[node])) / longest) };
    return { name: { f: "fail", l: "fail", i: "save", w: "save", r: "accent", s: "good", u: "reused", k: "idle", n: "idle" }[worst(item.nodes)], strength: 1 };
  }

  function paint() {
    const { items, edges } = collect();
    const note = byId("graph-note");
    if (items.size > MOST) {
      container.replaceChildren(element("p", { class: "note" }, `${items.size.toLocaleString("en")} nodes are too many to draw. Fold all, and unfold single groups.`));
      note.textContent = "";
      return;
    }
    const picture = svg("svg", { width: items.width, height: items.height, viewBox: `0 0 ${items.width} ${items.height}`, role: "group", "aria-label": "Graph" });
    for (const { a, b, critical } of edges.values()) {
      const one = items.get(a), two = items.get(b);
      const x1 = one.x + WIDE, y1 = one.y + TALL / 2, x2 = two.x, y2 = two.y + TALL / 2, bend = Math.max(24, Math.abs(x2 - x1) / 2);
      picture.append(svg("path", { class: critical ? "edge critical" : "edge", d: `M${x1},${y1} C${x1 + bend},${y1} ${x2 - bend},${y2} ${x2},${y2}` }));
    }
    for (const item of items.values()) picture.append(item.dataset === undefined ? nodeItem(item) : datasetItem(item));
    container.replaceChildren(picture);
    const hidden = [...items.values()].filter((item) => item.group).reduce((sum, item) => sum + item.nodes.length, 0);
    const groups = [...items.values()].filter((item) => item.group).length;
    note.textContent = hidden ? `${hidden.toLocaleString("en")} nodes are folded into ${groups} group${groups === 1 ? "" : "s"}` : "";
  }

  function datasetItem(item) {
    const name = run.datasets[item.dataset], size = run.sizes[item.dataset];
    const group = svg("g", {}, svg("title", {}, `${name}${size !== undefined ? ` (${bytes(size)})` : ""}`),
      svg("rect", { class: "data", x: item.x, y: item.y + 4, width: WIDE, height: TALL - 8, rx: 13 }));
    group.append(svg("text", { x: item.x + 12, y: item.y + TALL / 2 + 4 }, name.length > 23 ? `${name.slice(0, 22)}…` : name));
    return group;
  }

  function nodeItem(item) {
    const isCritical = item.nodes.some((node) => run.isCritical.has(node)), letter = worst(item.nodes), { name, strength } = tint(item);
    const count = run.counts ? item.nodes.reduce((sum, node) => sum + run.counts[node], 0) : item.nodes.length;
    const title = item.group ? `${nameOf(item.group)} (${count.toLocaleString("en")})` : run.names[item.nodes[0]] + (count > 1 ? ` (${count.toLocaleString("en")})` : "");
    const total = item.nodes.reduce((sum, node) => sum + lengths[node], 0);
    const text = `${title}: ${OUTCOMES[letter]}, ${seconds(total)}${isCritical ? ", on the critical path" : ""}`;
    const act = () => { if (item.group) { folded.delete(item.group); paint(); say(`${nameOf(item.group)} is unfolded`); } else choose(item.nodes[0], "graph"); };
    const group = svg("g", { tabindex: "0", role: "button", "aria-label": item.group ? `${text}. Press Enter to unfold.` : text, class: !item.group && item.nodes[0] === chosen ? "chosen" : null },
      svg("title", {}, text), svg("rect", { class: `box${item.group ? " group" : ""}${isCritical ? " critical" : ""}`, x: item.x, y: item.y, width: WIDE, height: TALL, rx: 6 }));
    const stripe = svg("rect", { x: item.x, y: item.y, width: 8, height: TALL, rx: 3 });
    stripe.style.fill = `var(--${name})`;
    stripe.style.fillOpacity = String(0.25 + 0.75 * strength);
    const shown = title.length > 21 ? `${title.slice(0, 20)}…` : title;
    group.append(stripe, svg("text", { x: item.x + 15, y: item.y + 14 }, shown));
    const below = svg("text", { x: item.x + 15, y: item.y + 28 }, `${SYMBOLS[letter]} ${total ? seconds(total) : OUTCOMES[letter]}${item.group ? "  ⊞ unfold" : ""}`);
    below.style.fill = "var(--dim)";
    below.style.fontSize = "11px";
    group.append(below);
    group.addEventListener("click", act);
    group.addEventListener("keydown", (event) => { if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); } });
    return group;
  }

  byId("colour-by").addEventListener("change", (event) => { byDuration = event.target.value === "duration"; paint(); });
  const datasets = byId("show-datasets");
  if (run.datasets) datasets.addEventListener("change", () => { withDatasets = datasets.checked; paint(); }); else datasets.parentNode.hidden = true;
  byId("fold-all").addEventListener("click", () => { folded = new Set(known); paint(); });
  byId("unfold-all").addEventListener("click", () => { folded = new Set(); paint(); });
  if (!known.size) { byId("fold-all").hidden = true; byId("unfold-all").hidden = true; }
  onChoose((node, from) => { if (from !== "graph" && node !== null) for (const group of groupsOf[node]) folded.delete(group);
    paint();
    const shown = container.querySelector("g.chosen");
    if (shown && from !== "graph") {
      const box = shown.getBBox();
      container.scrollTo(box.x - container.clientWidth / 2, box.y - container.clientHeight / 2);
    }
  });
  paint();
}
