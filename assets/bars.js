// Horizontal bars as inline SVG: one per row, with its number and what was expected.

import { drawn } from "./dom.js";
import { count } from "./format.js";

const ROW = 34;
const BAR = 16;
const AXIS = 22;
const CHARACTER = 7.6;

/**
 * One bar for each of rows [{label, value, words, expected, look}], on one linear scale from 0; `expected` is marked by a
 * line across the bar.
 */
export function barChart({ width, rows, name }) {
  const height = rows.length * ROW + AXIS;
  const most = Math.max(1, ...rows.flatMap((row) => [row.value, row.expected ?? 0]));
  const longest = (texts) => Math.max(...texts.map((text) => text.length)) * CHARACTER;
  const left = Math.min(Math.ceil(longest(rows.map((row) => row.label))) + 8, width * 0.36);
  const right = width - Math.ceil(longest(rows.map((row) => row.words))) - 10;
  const across = (value) => left + (value / most) * (right - left);
  const svg = drawn("svg", { class: "chart bars", role: "img", "aria-label": name, width, height, viewBox: `0 0 ${width} ${height}` });
  rows.forEach((row, at) => {
    const middle = at * ROW + ROW / 2;
    const end = Math.max(across(row.value), left + 2);
    svg.append(
      drawn("text", { class: "bar-label", x: left - 8, y: middle + 5, "text-anchor": "end", text: row.label }),
      drawn("rect", { class: `bar ${row.look}`, x: left, y: middle - BAR / 2, width: end - left, height: BAR, rx: 3 }),
    );
    if (typeof row.expected === "number") {
      const line = Math.max(across(row.expected), left + 1);
      svg.append(drawn("line", { class: "expected", x1: line, x2: line, y1: middle - BAR / 2 - 5, y2: middle + BAR / 2 + 5 }));
    }
    const clear = Math.max(end, typeof row.expected === "number" ? across(row.expected) : 0);
    svg.append(drawn("text", { class: `bar-number ${row.look}`, x: clear + 8, y: middle + 5, text: row.words }));
  });
  svg.append(drawn("line", { class: "axis", x1: left, x2: left, y1: 0, y2: height - AXIS }));
  svg.append(drawn("text", { class: "tick", x: left, y: height - 5, "text-anchor": "middle", text: "0" }));
  svg.append(drawn("text", { class: "tick", x: right, y: height - 5, "text-anchor": "middle", text: count(most) }));
  return svg;
}
