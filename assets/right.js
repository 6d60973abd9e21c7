// Is it right for you? Your own figures in; what the service's formulas (`GET /lab/predict`) say of them out.

import { ask } from "./api.js";
import { byId, element, report } from "./dom.js";
import { counted, count, milliseconds } from "./format.js";
import { numbers } from "./form.js";
import { table } from "./table.js";

const FIELDS = {
  rate_per_second: ["Requests", "/s", 400],
  keys: ["Keys", "", 100],
  query_time_ms: ["Query time", "ms", 100],
  ttl_ms: ["TTL", "ms", 30000],
  replicas: ["Replicas", "", 2],
  knee: ["Knee", "queries", 10],
  goal_ms: ["Good wait", "ms", 300],
};

/** Fills the section, and answers whenever a figure changes. */
export function showRight() {
  const status = element("p", { class: "status", role: "status", "data-kind": "plain" });
  const results = element("div", { class: "results", id: "right-results" });
  const fields = Object.entries(FIELDS).map(([name, [label, unit, value]]) => element("p", { class: "field" },
    element("label", { for: `right-${name}`, text: label }),
    element("span", { class: "entry" },
      element("input", { id: `right-${name}`, type: "number", required: true, min: 1, step: 1, value }),
      element("span", { text: unit }))));
  const form = element("form", { id: "right-form" }, element("div", { class: "fields" }, ...fields));
  const ids = Object.fromEntries(Object.keys(FIELDS).map((name) => [name, `right-${name}`]));
  let asked = 0;
  const answer = async () => {
    if (!form.checkValidity()) return;
    const turn = ++asked;
    try {
      const predicted = await ask("GET", `/lab/predict?${new URLSearchParams(numbers(ids))}`);
      if (turn !== asked) return;
      results.replaceChildren(measures(predicted));
      report(status, "plain", `The database answers ${counted(Math.round(predicted.capacity_per_second), "query", "queries")} per second at most. `
        + "Predictions are for traffic that is spread evenly over the keys.");
    } catch (problem) {
      if (problem.name !== "Problem") throw problem;
      report(status, "bad", problem.message);
    }
  };
  form.addEventListener("input", answer);
  form.addEventListener("submit", (event) => event.preventDefault());
  byId("right").append(form, status, results);
  answer();
}

function measures({ measures: rows, capacity_per_second: capacity }) {
  const number = (head, cell) => ({ head, look: "number", cell });
  const rate = (value) => element("span", { class: value > capacity ? "bad" : "good", text: value > capacity ? `${count(value)}, too many` : count(value) });
  const wait = ({ longest_wait_ms: ms, meets_goal: good }) =>
    element("span", { class: good ? "good" : "bad", text: good ? milliseconds(ms) : `${milliseconds(ms)}, too long` });
  return table({
    caption: "What to expect",
    columns: [
      { head: "Measure", cell: ({ measure, setting }) => element("strong", { text: measure, title: setting }) },
      number("Queries at one expiry", (row) => count(row.queries_at_expiry)),
      number("Queries/s", (row) => rate(row.queries_per_second)),
      number("Longest wait", wait),
      number("Queries/s while the cache is away", (row) => rate(row.queries_per_second_without_cache)),
    ],
    rows,
  });
}
