// Traces as waterfalls: of the answer that was explained last, and of the last stampede, where one load serves all waits.

import { ask } from "./api.js";
import { atWidthOf, drawn, element } from "./dom.js";
import { milliseconds } from "./format.js";

const BAR = 14;
const AXIS = 24;
const INDENT_OF_BARS = 210;
const NUMBER = 84;
/** Below this width, names stand above their bars. */
const NARROW = 620;
const INDENT = 14;
const WAIT = "template.wait";

/** Shows both traces at the end of `box`, as they are now. */
export async function showTraces(box) {
  let traces;
  try {
    traces = await ask("GET", "/lab/traces");
  } catch (problem) {
    if (problem.name !== "Problem") throw problem;
    return;
  }
  const figures = [
    figure("The trace of this answer", "Each bar is a span: what was done, and when.", traces.explained),
    figure("The trace of the last stampede", sentence(traces.stampede), traces.stampede),
  ];
  const place = box.querySelector(".waterfalls") ?? box.appendChild(element("div", { class: "waterfalls" }));
  place.replaceChildren(...figures.filter((it) => it !== null));
}

function sentence(spans) {
  const [waits, loads] = [WAIT, "template.load"].map((name) => spans.filter((span) => span.name === name).length);
  return `${loads} ${loads === 1 ? "load" : "loads"} and ${waits} waits. Each thin line is a caller that waits, with a link to the load.`;
}

function figure(title, words, spans) {
  if (spans.length === 0) return null;
  const chart = element("div", { class: "waterfall" });
  const caption = element("figcaption", {}, element("h3", { text: title }), element("p", { class: "note", text: words }));
  atWidthOf(chart, (width) => waterfall(width, spans, title));
  return element("figure", {}, caption, chart);
}

function waterfall(width, spans, name) {
  const isNarrow = width < NARROW;
  const row = isNarrow ? 42 : 26;
  const [left, right] = isNarrow ? [0, width] : [INDENT_OF_BARS, width - NUMBER];
  const crowd = spans.filter((span) => span.name === WAIT);
  const isCrowd = crowd.length > 3;
  const rows = inOrder(isCrowd ? spans.filter((span) => span.name !== WAIT) : spans);
  const line = crowd.length > 250 ? 0.5 : 1;
  const height = rows.length * row + (isCrowd ? crowd.length * line + row : 0) + AXIS;
  const end = Math.max(...spans.map((span) => span.start_ms + span.took_ms), 0.001);
  const across = (ms) => left + (ms / end) * (right - left);
  const svg = drawn("svg", { class: "chart", role: "img", "aria-label": name, width, height, viewBox: `0 0 ${width} ${height}` });
  const bar = (span, y, tall) => {
    const [x, until] = [across(span.start_ms), across(span.start_ms + span.took_ms)];
    return drawn("rect", { class: look(span), x, y, width: Math.max(until - x, 2), height: tall });
  };
  const label = (text, depth, top) => drawn("text", { class: "waterfall-label", x: depth * INDENT, y: top + 18, text });
  rows.forEach(({ span, depth }, at) => {
    const top = at * row;
    svg.append(
      label(said(span), depth, top),
      bar(span, top + row - BAR - 6, BAR),
      drawn("text", { class: "waterfall-number", x: width, y: top + 18, "text-anchor": "end", text: milliseconds(span.took_ms) }),
    );
  });
  if (isCrowd) {
    const top = rows.length * row;
    svg.append(label(`${crowd.length} × ${WAIT}`, 0, top));
    crowd.forEach((span, at) => svg.append(bar(span, top + row - BAR - 6 + at * line, line)));
  }
  const foot = height - 6;
  svg.append(
    drawn("line", { class: "axis", x1: left, x2: right, y1: height - AXIS, y2: height - AXIS }),
    drawn("text", { class: "tick", x: left, y: foot, text: "0" }),
    drawn("text", { class: "tick", x: right, y: foot, "text-anchor": "end", text: milliseconds(end) }),
  );
  return svg;
}

/** Children behind their parents, each as far in as it is deep. */
function inOrder(spans) {
  const known = new Set(spans.map((span) => span.id));
  const below = (parent, depth) => spans
    .filter((span) => (known.has(span.parent) ? span.parent : null) === parent)
    .flatMap((span) => [{ span, depth }, ...below(span.id, depth + 1)]);
  return below(null, 0);
}

function said(span) {
  const callers = span.attributes["stampede.flight.callers"];
  if (callers) return `${span.name} (${callers} ${callers === "1" ? "caller" : "callers"})`;
  const source = span.attributes["stampede.source"];
  return source ? `${span.name} (${source})` : span.name;
}

function look(span) {
  if (span.failed) return "span failed";
  if (span.attributes["db.system.name"]) return "span backend";
  if (span.name.endsWith(".wait")) return "span wait";
  return span.name === "template.load" ? "span load" : "span";
}
