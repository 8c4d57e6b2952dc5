// The table of all nodes with their waits: sorted by any column, searched, and only as many rows in the page as are visible.

function nodesTable(container, run) {
  const ROW = 30;
  const rows = run.names.map((name, node) => {
    const attempts = run.ofNode[node], last = attempts[attempts.length - 1] || null, waits = {};
    for (const cause of CAUSES) waits[cause] = attempts.reduce((sum, each) => sum + (each.waits[cause] || 0), 0);
    const took = attempts.reduce((sum, each) => sum + each.length, 0);
    const outcome = run.outcomes[node];
    return {
      node, name, outcome, status: OUTCOMES[outcome], waits, took, end: last ? last.end : null, after: last ? Math.max(0, run.wall - last.end) : null,
      worker: last ? run.workers[last.worker].name : "", attempts: attempts.length,
      text: `${name} ${run.namespace(node)} ${(run.tags[node] || []).join(" ")} ${OUTCOMES[outcome]} ${last ? run.workers[last.worker].name : ""}`.toLowerCase(),
    };
  });
  const columns = [
    { title: "Node", key: (row) => row.name },
    { title: "Status", key: (row) => row.status, cell: (row) => `${SYMBOLS[row.outcome]} ${row.status}${run.isCritical.has(row.node) ? " ▲" : ""}` },
    ...CAUSES.map((cause) => ({ title: DATA.columns[cause], number: true, key: (row) => row.waits[cause], cell: (row) => (row.end === null ? "" : seconds(row.waits[cause])) })),
    { title: "Ran", number: true, key: (row) => row.took, cell: (row) => (row.end === null ? "" : seconds(row.took)) },
    { title: "Of the run", number: true, key: (row) => row.took, cell: (row) => (row.end === null || !run.wall ? "" : `${((100 * row.took) / run.wall).toFixed(1)} %`) },
    { title: "Time after", number: true, key: (row) => (row.after === null ? -1 : row.after), cell: (row) => (row.after === null ? "" : seconds(row.after)) },
    { title: "Attempts", number: true, key: (row) => row.attempts, cell: (row) => String(row.attempts) },
    { title: "Worker", key: (row) => row.worker, cell: (row) => row.worker },
  ];
  const ran = columns.findIndex((column) => column.title === "Ran");
  let sorted = ran, descending = true, query = "", visible = rows;
  const head = element("tr");
  const body = element("tbody");
  const box = element("div", { class: "rows", tabindex: "0", role: "region", "aria-label": "All nodes" },
    element("table", { "aria-rowcount": String(rows.length) }, element("thead", {}, head), body));
  container.append(box);
  columns.forEach((column, place) => {
    column.mark = element("span", { "aria-hidden": "true" });
    column.head = element("th", { scope: "col", class: column.number ? "number" : null },
      element("button", { type: "button", onclick: () => sort(place) }, column.title, column.mark));
    head.append(column.head);
  });

  function arrange() {
    const column = columns[sorted], sign = descending ? -1 : 1;
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    visible = rows.filter((row) => words.every((word) => row.text.includes(word)));
    visible.sort((a, b) => { const one = column.key(a), two = column.key(b); return one < two ? -sign : one > two ? sign : a.node - b.node; });
    columns.forEach((each, place) => {
      each.mark.textContent = place === sorted ? (descending ? " ▼" : " ▲") : "";
      if (place === sorted) each.head.setAttribute("aria-sort", descending ? "descending" : "ascending"); else each.head.removeAttribute("aria-sort");
    });
    box.style.height = `min(26rem, ${visible.length * ROW + 52}px)`;
    byId("search-count").textContent = query ? `${visible.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} nodes` : "";
    box.scrollTop = 0;
    fill();
  }
  function sort(place) { descending = place === sorted ? !descending : Boolean(columns[place].number); sorted = place; arrange(); }
  function fill() {
    const first = Math.max(0, Math.floor(box.scrollTop / ROW) - 5), last = Math.min(visible.length, first + Math.ceil(box.clientHeight / ROW) + 12);
    const filler = (count) => { const row = element("tr", { class: "filler", "aria-hidden": "true" }, element("td", { colspan: String(columns.length) })); row.style.height = `${count * ROW}px`; return row; };
    const made = [];
    if (first) made.push(filler(first));
    for (let index = first; index < last; index += 1) {
      const row = visible[index];
      const line = element("tr", { "aria-rowindex": String(index + 2) });
      columns.forEach((column, place) => {
        if (place === 0) {
          const count = run.counts && run.counts[row.node] > 1 ? ` (${run.counts[row.node].toLocaleString("en")} nodes)` : "";
          line.append(element("th", { scope: "row" }, element("button", { type: "button", title: row.name, onclick: () => choose(row.node, "table") }, row.name + count)));
        } else line.append(element("td", { class: column.number ? "number" : null }, column.cell(row)));
      });
      made.push(line);
    }
    if (last < visible.length) made.push(filler(visible.length - last));
    body.replaceChildren(...made);
  }
  let planned = false;
  box.addEventListener("scroll", () => { if (!planned) { planned = true; requestAnimationFrame(() => { planned = false; fill(); }); } });
  new ResizeObserver(fill).observe(box);
  byId("search").addEventListener("input", (event) => { query = event.target.value; arrange(); });
  arrange();
}
