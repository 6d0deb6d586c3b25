// Tables that sort by a click on their head and narrow by a word. The order a person chose outlives a live refill.
"use strict";

(() => {
  const chosen = new Map();

  const value = (row, column) => {
    const cell = row.cells[column];
    return cell ? (cell.dataset.value ?? cell.textContent.trim()) : "";
  };

  function sort(table, column, down) {
    const body = table.tBodies[0];
    const rows = [...body.rows];
    const numeric = rows.every((row) => value(row, column) === "" || !Number.isNaN(Number(value(row, column))));
    rows.sort((a, b) => {
      const [x, y] = [value(a, column), value(b, column)];
      return (numeric ? Number(x) - Number(y) : x.localeCompare(y)) * (down ? -1 : 1);
    });
    body.append(...rows);
    [...table.tHead.rows[0].cells].forEach((cell, index) => {
      cell.setAttribute("aria-sort", index === column ? (down ? "descending" : "ascending") : "none");
    });
  }

  function narrow(input) {
    const table = document.getElementById(input.dataset.narrows)?.querySelector("table") ?? document.getElementById(input.dataset.narrows);
    const word = input.value.trim().toLowerCase();
    if (!table?.tBodies) return;
    for (const row of table.tBodies[0].rows) row.hidden = word !== "" && !row.textContent.toLowerCase().includes(word);
  }

  function dress(root) {
    root.querySelectorAll("table[data-sorts]").forEach((table) => {
      const key = table.dataset.sorts;
      [...table.tHead.rows[0].cells].forEach((cell, column) => {
        if (cell.dataset.still !== undefined || cell.querySelector("button.sort")) return;
        const button = document.createElement("button");
        button.type = "button";
        button.className = "sort";
        button.append(...cell.childNodes);
        cell.append(button);
        button.addEventListener("click", () => {
          const before = chosen.get(key);
          const down = before?.column === column ? !before.down : false;
          chosen.set(key, { column, down });
          sort(table, column, down);
        });
      });
      const order = chosen.get(key);
      if (order) sort(table, order.column, order.down);
    });
    document.querySelectorAll("input[data-narrows]").forEach(narrow);
  }

  document.addEventListener("filled", (event) => dress(event.target));
  document.addEventListener("input", (event) => {
    if (event.target.matches?.("input[data-narrows]")) narrow(event.target);
  });
  dress(document);
})();
