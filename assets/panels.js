// The six panels of the dashboard, live: a step per second, the last five minutes.

import { keyMark, lineChart } from "./chart.js";
import { atWidthOf, byId, element, say } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { WINDOW, onLive } from "./live.js";
import { copyButtons } from "./share.js";

const PANELS = [
  { title: "Requests per second", unit: "/s", lines: [{ of: "requests", look: "first", area: true }] },
  { title: "95% of answers come within (p95)", unit: "ms", lines: [{ of: "p95_ms", look: "wait", area: true }], written: milliseconds },
  {
    title: "Cache hits and misses per second",
    unit: "/s",
    lines: [
      { of: "hits", name: "hits", look: "first" },
      { of: "misses", name: "misses", look: "second" },
      { of: "unanswered", name: "no answer", look: "third" },
    ],
  },
  { title: "Database queries per second", unit: "/s", lines: [{ of: "queries", look: "query", area: true }] },
  { title: "Callers that shared a load, per second", unit: "/s", lines: [{ of: "shared", look: "shared", area: true }] },
  {
    title: "In flight",
    unit: "",
    lines: [
      { of: "in_flight", name: "requests", look: "wait" },
      { of: "queries_in_flight", name: "queries", look: "query dashed" },
    ],
  },
];

const HEIGHT = 150;
const MINUTES = [
  { at: -300, label: "−5 min" },
  { at: -240, label: "−4" },
  { at: -180, label: "−3" },
  { at: -120, label: "−2" },
  { at: -60, label: "−1" },
  { at: 0, label: "now" },
];

/** Builds the panels and keeps them up to date. */
export function showPanels() {
  let samples = [];
  const redraws = PANELS.map((panel) => build(panel, () => samples));
  byId("panels-share").append(copyButtons({ value: () => samples }));
  onLive((news) => {
    if (!news.answer) return;
    samples = news.samples;
    for (const redraw of redraws) redraw();
  });
}

function build(panel, samples) {
  const plot = element("div", { class: "plot" });
  const values = panel.lines.map(({ name, look }) => {
    const value = element("strong", { text: "–" });
    const key = name ? element("span", { class: "key" }, keyMark(look), name) : null;
    return { value, node: element("span", { class: "now" }, value, key) };
  });
  byId("panel-grid").append(
    element("article", { class: "panel" },
      element("h3", { text: panel.title }),
      element("p", { class: "nows" }, ...values.map(({ node }) => node)),
      plot),
  );
  const redraw = atWidthOf(plot, (width) => draw(panel, samples(), width));
  return () => {
    const newest = samples().at(-1);
    panel.lines.forEach(({ of }, at) => say(values[at].value, written(panel, newest?.[of])));
    redraw();
  };
}

function written(panel, value) {
  if (panel.written) return panel.written(value ?? null);
  // Beside two other numbers there is no room for the unit, which the title and the axis say too.
  return panel.unit && panel.lines.length === 1 && typeof value === "number" ? `${count(value)} ${panel.unit}` : count(value);
}

function draw(panel, samples, width) {
  const newest = samples.at(-1)?.seq ?? 0;
  const values = samples.flatMap((one) => panel.lines.map(({ of }) => one[of] ?? 0));
  const most = Math.max(0, ...values);
  const series = panel.lines.map(({ of, look, area }) => ({ points: points(samples, of, newest), look, area, step: true })).reverse();
  const now = panel.lines.map(({ of, name }) => `${name ? `${name} ` : ""}${written(panel, samples.at(-1)?.[of])}`);
  return lineChart({
    width,
    height: HEIGHT,
    series,
    x: { from: -WINDOW, to: 0, marks: MINUTES },
    y: { most: scale(values, most), unit: panel.unit },
    name: `${panel.title}, last 5 minutes. Now: ${now.join(", ")}. Most: ${written(panel, most)}.`,
  });
}

/** What the axis reaches to: one burst is cut off rather than that it flattens everything else. */
function scale(values, most) {
  const busy = values.filter((value) => value > 0).sort((one, other) => one - other);
  const usual = 4 * (busy[Math.floor(busy.length / 2)] ?? 0);
  return most > 2 * usual ? usual : most;
}

/** [seconds before now, value], with a gap where seconds are missing. */
function points(samples, of, newest) {
  const found = [];
  for (const one of samples) {
    const before = found.at(-1);
    const at = one.seq - newest;
    if (before && at - before[0] > 1) found.push([at - 1, null]);
    // A second is as wide as a second, so that a single one is seen.
    if (one[of] !== null && one[of] !== undefined) found.push([at - 1, one[of]]);
    found.push([at, one[of] ?? null]);
  }
  return found;
}
