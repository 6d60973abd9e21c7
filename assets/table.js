// Tables that a narrow screen shows as one block per row, with each number under its heading.

import { element } from "./dom.js";

/**
 * A table. columns: [{head, cell: row => text or element, look}]; the first column names the row.
 *
 * The roles repeat what the elements say: a table that CSS lays out as blocks would lose its meaning for a screen reader.
 */
export function table({ caption, columns, rows, empty }) {
  const head = columns.map(({ head, look }) => element("th", { scope: "col", role: "columnheader", class: look, text: head }));
  const body = rows.map((row) => element("tr", { role: "row" }, ...columns.map((column, at) => cellOf(column, at, row))));
  if (!rows.length) {
    const words = element("td", { role: "cell", class: "empty", colspan: columns.length, text: empty });
    body.push(element("tr", { role: "row" }, words));
  }
  return element(
    "table",
    { role: "table" },
    element("caption", { text: caption }),
    element("thead", { role: "rowgroup" }, element("tr", { role: "row" }, ...head)),
    element("tbody", { role: "rowgroup" }, ...body),
  );
}

function cellOf({ head, cell, look }, at, row) {
  const content = cell(row);
  const node = at === 0
    ? element("th", { scope: "row", role: "rowheader" })
    : element("td", { role: "cell", class: look, "data-head": head });
  node.append(content);
  return node;
}
