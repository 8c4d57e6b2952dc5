// Replaces the rows of the table once a second, while the page is visible. The server has escaped what they contain.
"use strict";
const rows = document.getElementById("runs");
const connection = document.getElementById("connection");
const problem = document.getElementById("problem");

async function refresh() {
  try {
    const answer = await fetch("/page/runs", { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(String(answer.status));
    const text = await answer.text();
    const focused = document.activeElement?.dataset?.post;
    if (text !== refresh.last) {
      refresh.last = text;
      rows.innerHTML = text;
      if (focused) rows.querySelector(`[data-post="${CSS.escape(focused)}"]`)?.focus();
    }
    connection.textContent = "";
  } catch {
    connection.textContent = "The server does not answer.";
  }
}

async function loop() {
  if (!document.hidden) await refresh();
  setTimeout(loop, 1000);
}

rows.addEventListener("click", async (event) => {
  const button = event.target.closest("button[data-post]");
  if (!button) return;
  button.disabled = true;
  problem.textContent = "";
  try {
    const answer = await fetch(button.dataset.post, { method: "POST" });
    if (!answer.ok) problem.textContent = (await answer.json()).error.message;
  } catch {
    problem.textContent = "The server does not answer, so nothing was changed. Try again later.";
  }
  await refresh();
  button.disabled = false; // its row may still be there
});

loop();
