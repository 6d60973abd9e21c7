// What happened in an incident: its parts beside each other, on the same scales.

import { lineChart, ticks } from "./chart.js";
import { atWidthOf, byId, element } from "./dom.js";
import { count, milliseconds } from "./format.js";
import { SOURCES, sourceName, sourcesBar, summed } from "./sources.js";
import { table } from "./table.js";

const HEIGHT = 128;
// A shorter piece at the end holds stragglers: a rate of it would say nothing.
const SHORTEST_MS = 250;

// Characters beside each plot, so that all of them stand below each other.
const ROOM = 8;

const PARTS = { unprotected: "Without protection", singleflight: "Singleflight only", everything: "Everything on" };

const CHARTS = [
  { title: "Answers per second", unit: "/s", lines: [{ of: (point) => (point.requests - point.errors) * point.per_second, look: "good" }] },
  { title: "Errors per second", unit: "/s", lines: [{ of: (point) => point.errors * point.per_second, look: "bad" }] },
  { title: "Database queries per second", unit: "/s", lines: [{ of: (point) => point.queries * point.per_second, look: "query" }] },
  { title: "95% of answers come within (p95)", unit: "ms", lines: [{ of: (point) => point.p95_ms, look: "wait" }] },
];

let shown = null;

/** Draws the parts as far as they are. */
export function tellStory(run) {
  const parts = run.result?.parts ?? [];
  byId("story").hidden = parts.length === 0;
  const state = `${run.id} ${run.state} ${parts.map((part) => part.timeline.length)}`;
  if (!parts.length || state === shown) return;
  shown = state;
  const scale = scaleOf(run, parts);
  byId("story-parts").replaceChildren(...parts.map((part) => drawnPart(part, scale)));
  byId("story-table").replaceChildren(totals(parts));
}

function scaleOf({ parameters: p }, parts) {
  const points = parts.flatMap(pieces);
  const most = CHARTS.map(({ lines }) => Math.max(0, ...points.flatMap((point) => lines.map(({ of }) => of(point) ?? 0))));
  const planned = p.warm_ms + p.outage_ms + p.recovery_ms;
  return { until: Math.max(planned, ...points.map(({ ms }) => ms)), most, from: p.warm_ms, to: p.warm_ms + p.outage_ms };
}

/** The timeline with the factor that turns each point's counts into rates. */
function pieces({ timeline }) {
  const before = (at) => (at ? timeline[at - 1].ms : 0);
  return timeline
    .map((point, at) => ({ ...point, length: point.ms - before(at), per_second: 1000 / (point.ms - before(at)) }))
    .filter(({ length }) => length >= SHORTEST_MS);
}

function drawnPart(part, scale) {
  const { until, from, to, most } = scale;
  const marks = ticks(until, 4).filter((mark) => mark <= until);
  const charts = CHARTS.map(({ title, unit, lines }, at) => {
    const plot = element("div", { class: "plot" });
    const series = lines.map(({ of, look }) => ({ points: pieces(part).map((point) => [point.ms, of(point)]), look, area: true }));
    atWidthOf(plot, (width) => lineChart({
      width,
      height: HEIGHT,
      series,
      x: { from: 0, to: until, marks: marks.map((mark) => ({ at: mark, label: `${mark / 1000} s` })) },
      y: { most: most[at], unit },
      room: ROOM,
      bands: [{ from, to, label: "Cache black-holed" }],
      name: `${PARTS[part.part] ?? part.part}: ${title.toLowerCase()} over ${milliseconds(until)}`,
    }));
    return element("figure", {}, element("figcaption", { text: title }), plot);
  });
  const events = part.events.map(({ ms, what }) => element("li", {},
    element("span", { class: "when", text: `${(ms / 1000).toFixed(1)} s` }), element("span", { text: what })));
  return element("article", { class: `part ${part.part}` },
    element("h3", { text: PARTS[part.part] ?? part.part }),
    element("p", { class: "settings" }, ...part.settings.map((setting) => element("code", { text: setting }))),
    element("p", { class: "outcome" }, ...outcome(part)),
    whence(part),
    ...charts,
    element("ol", { class: "events" }, ...events));
}

/** Where the part's answers came from, until now. */
function whence({ timeline }) {
  const counts = summed(timeline.map(({ sources }) => sources));
  const bar = element("div", { class: "plot" });
  atWidthOf(bar, (width) => sourcesBar({ width, counts, of: "All answers" }));
  const some = Object.keys(SOURCES).filter((name) => counts[name] > 0);
  const key = some.map((name) => element("li", {},
    element("span", { class: `swatch source-${name}`, "aria-hidden": "true" }), `${sourceName(name)} ${count(counts[name])}`));
  return element("figure", {},
    element("figcaption", { text: "Where answers came from" }), bar, element("ul", { class: "key-list" }, ...key));
}

function outcome({ totals: { errors, requests } }) {
  const look = errors ? "bad" : "good";
  return [
    element("strong", { class: look, text: errors ? `${count(errors)} errors` : "No errors" }),
    element("span", { text: ` in ${count(requests)} requests` }),
  ];
}

function totals(parts) {
  const number = (head, value) => ({ head, look: "number", cell: ({ totals }) => value(totals) });
  const columns = [
    { head: "Part", cell: ({ part }) => element("strong", { text: PARTS[part] ?? part }) },
    number("Requests", (total) => count(total.requests)),
    {
      head: "Errors",
      look: "number",
      cell: ({ totals: { errors } }) => element("strong", { class: errors ? "bad" : "good", text: count(errors) }),
    },
    number("Queries", (total) => count(total.queries)),
    number("p50", (total) => milliseconds(total.p50_ms)),
    number("p95", (total) => milliseconds(total.p95_ms)),
    number("Max", (total) => milliseconds(total.max_ms)),
  ];
  return table({ caption: "The same outage, three times", columns, rows: parts });
}
