// What came of a stampede, side by side: a bar and a curve for each strategy, and a table.

import { barChart } from "./bars.js";
import { lineChart, ticks } from "./chart.js";
import { atWidthOf, byId, element, say } from "./dom.js";
import { count, counted, milliseconds } from "./format.js";
import { badge } from "./strategies.js";
import { table } from "./table.js";

const CURVE_HEIGHT = 150;

let shown = null;
let redrawBars = null;

/** Draws a run's result as far as it is; nothing before the first strategy has ended. */
export function showComparison(run) {
  const rows = run.result?.strategies ?? [];
  byId("comparison").hidden = rows.length === 0;
  if (!rows.length) return;
  // A run is asked after several times a second and changes when a strategy has ended.
  const state = `${run.id} ${run.state} ${rows.length}`;
  if (state === shown?.state) return;
  shown = { state, run, rows };
  redrawBars ??= atWidthOf(byId("comparison-bars"), drawBars);
  redrawBars();
  say(byId("comparison-of"), described(run));
  say(byId("comparison-title"), `Database queries${sustained(run) ? " per expiry" : ""}`);
  say(byId("comparison-note"), `The upright line is what was predicted. ${deviation(run, rows)}`);
  byId("comparison-curves").replaceChildren(...curves(rows));
  byId("comparison-table").replaceChildren(resultTable(run, rows));
}

function described({ parameters: p, result }) {
  const load = p.mode === "burst"
    ? `${counted(p.callers, "caller")} ${p.spread_ms ? `over ${count(p.spread_ms)} ms` : "at once"} for the freshly expired template ${p.template}`
    : `${count(p.rate_per_second)} requests/s for ${milliseconds(p.duration_ms)}, template ${p.template} expires every ${count(p.ttl_ms)} ms`;
  return `${load}; a query takes ${count(p.query_time_ms)} ms; at most ${count(result.slots)} run, the rest wait; ` +
    `database: ${result.database}, cache: ${result.cache}.`;
}

const look = (row) => (row.protected ? "good" : "bad");
const sustained = ({ parameters }) => parameters.mode === "sustained";

/** What is compared: all queries of a burst, those per expiry where there are several. */
const size = (run, row) => (sustained(run) ? row.queries_per_expiry : row.queries);

/** Why more or fewer queries were made than predicted, if so. */
function deviation(run, rows) {
  const off = rows.find((row) => !row.protected && Math.abs(size(run, row) / row.predicted_queries_per_expiry - 1) > 0.15);
  if (!off) return "";
  const [measured, predicted] = [count(size(run, off)), count(off.predicted_queries_per_expiry)];
  const query = `a query takes ${count(run.parameters.query_time_ms)} ms`;
  return measured < predicted || size(run, off) < off.predicted_queries_per_expiry
    ? `${off.strategy} made ${measured}, not ${predicted}: some callers came when an answer was there already, or were refused.`
    : `${off.strategy} made ${measured}, not ${predicted}: the prediction reckons that ${query}, but queries at once hold each other up, ` +
      "and whoever comes meanwhile asks too.";
}

function drawBars(width) {
  const { run, rows } = shown;
  const bars = rows.map((row) => ({
    label: row.strategy,
    value: size(run, row),
    expected: row.predicted_queries_per_expiry,
    words: counted(size(run, row), "query", "queries"),
    look: look(row),
  }));
  const said = rows.map((row) => `${row.strategy} ${count(size(run, row))}, predicted ${count(row.predicted_queries_per_expiry)}`);
  return barChart({ width, rows: bars, name: `Database queries${sustained(run) ? " per expiry" : ""}: ${said.join("; ")}` });
}

function curves(rows) {
  const until = Math.max(...rows.flatMap((row) => row.curve.map(({ ms }) => ms)), 1);
  const most = Math.max(...rows.map((row) => row.most_at_once), 1);
  const fitting = ticks(until, 3).filter((mark) => mark <= until);
  const marks = fitting.map((at) => ({ at, label: at ? milliseconds(at) : "0" }));
  return rows.map((row) => {
    const plot = element("div", { class: "plot" });
    const points = row.curve.map(({ ms, at_once: queries }) => [ms, queries]);
    atWidthOf(plot, (width) => lineChart({
      width,
      height: CURVE_HEIGHT,
      series: [{ points, look: look(row), area: true, step: true }],
      x: { from: 0, to: until, marks },
      y: { most, unit: "" },
      name: `${row.strategy}: queries at once over ${milliseconds(until)}, at most ${count(row.most_at_once)}`,
    }));
    return element("figure", { class: "curve" },
      element("figcaption", {},
        element("span", { class: "curve-name", text: row.strategy }),
        element("span", { class: "curve-most" }, element("strong", { class: look(row), text: count(row.most_at_once) }), " ran or waited")),
      plot);
  });
}

function resultTable(run, rows) {
  const number = (head, value) => ({ head, look: "number", cell: (row) => value(row) });
  const judged = (head, value, bad) => ({
    head,
    look: "number",
    cell: (row) => element("span", { class: bad(row) ? "bad" : "", text: value(row) }),
  });
  const several = sustained(run);
  const columns = [
    { head: "Strategy", cell: (row) => element("span", { class: "named" }, element("strong", { text: row.strategy }), badge(row.protected)) },
    { head: "Queries", look: "number", cell: (row) => element("strong", { class: look(row), text: count(row.queries) }) },
    several && number("Expiries", (row) => count(row.expiries)),
    several && number("Per expiry", (row) => count(row.queries_per_expiry)),
    number("Predicted", (row) => count(row.predicted_queries_per_expiry)),
    number("Running or waiting", (row) => count(row.most_at_once)),
    number("p50", (row) => milliseconds(row.p50_ms)),
    number("p95", (row) => milliseconds(row.p95_ms)),
    number("Max", (row) => milliseconds(row.max_ms)),
    judged("Refused", (row) => count(row.refused), (row) => row.refused > 0),
    judged("Errors", (row) => `${count(row.errors)} of ${count(row.requests)}`, (row) => row.errors > 0),
  ].filter(Boolean);
  return table({ caption: "Each strategy, measured", columns, rows });
}
