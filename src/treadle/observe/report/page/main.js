// Puts the parts together: theme, details of the chosen node, and the sections that need JavaScript.

document.body.classList.remove("no-js");

const darkWanted = window.matchMedia("(prefers-color-scheme: dark)");
function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").setAttribute("aria-pressed", String(dark));
  document.dispatchEvent(new Event("theme"));
}
byId("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
darkWanted.addEventListener("change", (event) => setTheme(event.matches));
setTheme(darkWanted.matches);

// A page is printed as a whole: in light colours, and with the parts that the reader has not scrolled to.
const undrawn = new Set();
let themeBefore = null;
window.addEventListener("beforeprint", () => {
  themeBefore = document.documentElement.dataset.theme;
  setTheme(false);
  for (const draw of [...undrawn]) draw();
  for (const paint of painters) paint();
});
window.addEventListener("afterprint", () => setTheme(themeBefore === "dark"));

function details(run) {
  const panel = byId("details");
  let opener = null;
  const close = () => { panel.hidden = true; choose(null, "details"); if (opener && opener.isConnected) opener.focus(); };
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && !panel.hidden) close(); });
  onChoose((node) => {
    if (node === null) return;
    opener = document.activeElement;
    const attempts = run.ofNode[node], facts = [["Status", `${SYMBOLS[run.outcomes[node]]} ${OUTCOMES[run.outcomes[node]]}`]];
    if (run.counts && run.counts[node] > 1) facts.push(["Stands for", `${run.counts[node].toLocaleString("en")} folded nodes`]);
    if (run.namespace(node)) facts.push(["Namespace", run.namespace(node)]);
    if (run.tags[node]) facts.push(["Tags", run.tags[node].join(", ")]);
    const [name, place] = run.source(node).split("\n");
    if (name) facts.push(["Function", name]);
    if (place) facts.push(["Source", place.startsWith(`${DATA.root}/`) ? place.slice(DATA.root.length + 1) : place]);
    if (run.datasets) {
      const listed = (indices) => indices.map((index) => run.datasets[index] + (run.sizes[index] !== undefined ? ` (${bytes(run.sizes[index])})` : "")).join(", ");
      const params = run.inputs[node].filter((index) => run.kinds[index] === "p"), inputs = run.inputs[node].filter((index) => run.kinds[index] !== "p");
      for (const index of params) if (run.params[index] !== undefined) facts.push([run.datasets[index], run.params[index]]);
      const unknown = params.filter((index) => run.params[index] === undefined);
      if (unknown.length) facts.push(["Params", listed(unknown)]);
      if (inputs.length) facts.push(["Inputs", listed(inputs)]);
      if (run.outputs[node].length) facts.push(["Outputs", listed(run.outputs[node])]);
    }
    if (run.isCritical.has(node)) facts.push(["Critical path", "▲ yes"]);
    const list = element("dl");
    for (const [term, value] of facts) list.append(element("dt", {}, term), element("dd", {}, value));
    const children = [element("button", { type: "button", class: "close", "aria-label": "Close the details", onclick: close }, "✕"), element("h3", {}, run.names[node]), list];
    for (const attempt of attempts.slice(0, 20)) {
      children.push(element("h4", {}, attempts.length > 1 ? `Attempt ${attempt.number}` : "Times"));
      const times = element("dl"), add = (term, value) => times.append(element("dt", {}, term), element("dd", {}, value));
      add("Worker", run.workers[attempt.worker].name);
      add("Started", `+${seconds(attempt.start)}`);
      add("Ran", `${seconds(attempt.length)}${attempt.load === null ? "" : ` (load ${seconds(attempt.load)}, run ${seconds(attempt.run)}, save ${seconds(attempt.save)})`}`);
      const memory = peakMemory(run, attempt);
      if (memory !== null) add("Memory of its process", `at most ${bytes(memory)}`);
      for (const cause of CAUSES) if (attempt.waits[cause] >= 0.0005) add(`Wait: ${DATA.columns[cause].toLowerCase()}`, seconds(attempt.waits[cause]));
      children.push(times);
      const error = run.errors.find((each) => each.node === node && each.number === attempt.number);
      if (error) children.push(element("p", {}, `${error.type}: ${error.message}`), element("pre", { tabindex: "0" }, error.traceback));
      logOf(run, node, attempt.number, children);
    }
    if (attempts.length > 20) children.push(element("p", { class: "note" }, `${attempts.length - 20} more bars`));
    panel.replaceChildren(...children);
    panel.hidden = false;
    panel.scrollTop = 0;
    panel.focus({ preventScroll: true });
  });
}

// The largest sample of the memory of an attempt's worker while it ran; null if there is none.
function peakMemory(run, attempt) {
  const process = run.memory && run.memory.processes.find(([name]) => name === run.workers[attempt.worker].name);
  if (!process) return null;
  const sizes = process[1].filter((size, index) => size !== null && run.memory.times[index] >= attempt.start && run.memory.times[index] <= attempt.end);
  return sizes.length ? Math.max(...sizes) * 1e5 : null;
}

// What an attempt logged, as text. Several bars may stand for one attempt of a folded node.
function logOf(run, node, number, children) {
  const logged = run.logs && run.logs.lines[node], missing = run.logs && run.logs.missing[node];
  const texts = (logged || []).filter(([of]) => of === number).map(([, text]) => text);
  if (!texts.length) return;
  children.push(element("p", { class: "label" }, "Log"), element("pre", { class: "log", tabindex: "0" }, texts.join("\n")));
  if (missing) children.push(element("p", { class: "note" }, `${missing.toLocaleString("en")} more lines of this node: treadle sessions logs ${DATA.id} --node '${run.names[node]}'`));
}

function notRun(container, run) {
  for (const [letter, title] of [["k", "Skipped, because a node before them failed or the run stopped"], ["u", "Up to date, so they did not run"], ["n", "Not reached"]]) {
    const nodes = [...run.outcomes].flatMap((each, node) => (each === letter && !run.ofNode[node].length ? [node] : []));
    if (!nodes.length) continue;
    const count = (list) => list.reduce((sum, node) => sum + (run.counts ? run.counts[node] : 1), 0); // a folded node stands for many
    const chips = element("div", { class: "chips" }), shown = nodes.slice(0, 60), more = count(nodes.slice(60));
    for (const node of shown) chips.append(element("button", { type: "button", onclick: () => choose(node, "list") }, `${SYMBOLS[letter]} ${run.names[node]}`));
    if (more) chips.append(element("span", { class: "note" }, `and ${more.toLocaleString("en")} more: search the table for "${OUTCOMES[letter]}"`));
    container.append(element("h3", {}, `${title} (${count(nodes).toLocaleString("en")})`), chips);
  }
}

// Remove the link to a section that has nothing to show.
function hideLink(id) { document.querySelector(`nav a[href="#${id}"]`).hidden = true; }

function sections(run) {
  if (!run.list.length) for (const id of ["timeline", "usage"]) { byId(id).classList.add("hidden-text"); hideLink(id); }
  const chart = run.workers.length ? gantt(byId("gantt"), [{ title: "", run }]) : null;
  if (chart) {
    const zoomBy = { in: () => chart.zoom(0.6), out: () => chart.zoom(1.7), all: () => chart.whole() };
    for (const button of document.querySelectorAll("[data-zoom]")) button.addEventListener("click", zoomBy[button.dataset.zoom]);
    byId("only-critical").addEventListener("change", (event) => chart.only(event.target.checked));
    byId("find").addEventListener("input", (event) => {
      const text = event.target.value.trim().toLowerCase();
      const found = text ? run.names.flatMap((name, node) => (name.toLowerCase().includes(text) ? [node] : [])) : null;
      chart.find(found ? new Set(found) : null);
      byId("found").textContent = found ? `${found.length.toLocaleString("en")} found` : "";
    });
    onChoose((node, from) => { if (from !== "gantt") chart.show(node); });
    legend(byId("legend"));
  }
  details(run);
  notRun(byId("not-run"), run);
  // What is further down the page is drawn when it comes near, so that the first picture is fast.
  const later = (id, draw) => {
    const once = () => { watch.disconnect(); undrawn.delete(once); draw(); };
    const watch = new IntersectionObserver((seen) => { if (seen.some((each) => each.isIntersecting)) once(); }, { rootMargin: "600px" });
    undrawn.add(once);
    watch.observe(byId(id));
  };
  later("graph", () => graphView(byId("graph-view"), run));
  later("nodes", () => nodesTable(byId("table"), run));
  later("usage", () => {
    concurrencyChart(byId("concurrency"), run);
    if (run.memory) memoryChart(byId("memory"), run); else byId("memory").append(element("p", { class: "note" }, "No memory was sampled: the run was too short, or its processes are on other machines."));
  });
  return chart;
}

let timelineChart = null;
if (CURRENT && CURRENT.names.length) timelineChart = sections(CURRENT);
else for (const id of ["timeline", "graph", "usage", "nodes"]) { byId(id).hidden = true; hideLink(id); }
if (DATA.before && CURRENT) {
  const earlier = unpack(DATA.before);
  gantt(byId("before-chart"), [{ title: `Before: ${DATA.beforeId}`, run: earlier }, { title: `Now: ${DATA.id}`, run: CURRENT }], { label: "Timelines of both runs, on one scale" });
}
if (DATA.whatIf && byId("what-if-chart")) whatIfChart(byId("what-if-chart"), DATA.whatIf);
if (DATA.history && byId("history-chart")) {
  historyChart(byId("history-chart"), DATA.history);
  for (const spark of document.querySelectorAll(".spark")) { const [values, now] = DATA.history.nodes[Number(spark.dataset.node)]; sparkline(spark, values, now); }
}
document.documentElement.dataset.ready = "yes";
