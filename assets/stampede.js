// The stampede's form and the prediction before it; section.js runs it, and what came of it is drawn by comparison.js.

import { showComparison } from "./comparison.js";
import { byId } from "./dom.js";
import { choose, chosen, fill, limit, numbers } from "./form.js";
import { count, counted } from "./format.js";
import { makesRuns } from "./section.js";
import { buildStrategies, checkedStrategies, offerStrategies } from "./strategies.js";

const COMMON = { template: "template", query_time_ms: "query-time", knee: "knee" };
const FIELDS = {
  burst: { ...COMMON, callers: "callers", spread_ms: "spread" },
  sustained: { ...COMMON, rate_per_second: "rate", ttl_ms: "ttl", duration_ms: "length" },
};

let lab = null;
// What was checked in each mode, so that looking at the other one loses nothing.
const checked = {};

/** Brings the section to life with what there is to choose (`GET /lab`). */
export function showStampede(choices) {
  lab = choices;
  const { limits, templates, defaults } = lab;
  limit({
    template: templates, callers: limits.callers, "query-time": limits.query_time_ms, knee: limits.knee, spread: limits.spread_ms,
    rate: limits.rate_per_second, ttl: limits.ttl_ms, length: limits.duration_ms,
  });
  buildStrategies(lab.strategies);
  // Someone else's database gets no more at once than the service is allowed.
  if (lab.database !== "embedded") byId("limits-lifted").textContent = "but all may wait";
  for (const mode of ["sustained", "burst"]) restore(mode === "burst" ? defaults.stampede : defaults.sustained);

  byId("stampede-form").addEventListener("input", (event) => {
    if (event.target.name === "mode") enter(chosen("mode"));
    else checked[chosen("mode")] = checkedStrategies();
    predict();
  });
  makesRuns("stampede", {
    parameters,
    restore: (values) => restore({ ...values, strategies: values.strategies?.split(",") }),
    refuse: () => (checkedStrategies().length ? null : "Choose at least one strategy."),
    results: byId("comparison"),
    draw: showComparison,
  });
}

/** Fills the form with the parameters of a run or of a link. */
function restore(values) {
  const mode = values.mode === "sustained" ? "sustained" : "burst";
  fill(FIELDS[mode], values);
  if (values.limits) choose("limits", values.limits);
  if (values.strategies) checked[mode] = values.strategies;
  choose("mode", mode);
  enter(mode);
  predict();
}

function enter(mode) {
  byId("burst-fields").hidden = byId("burst-fields").disabled = mode !== "burst";
  byId("sustained-fields").hidden = byId("sustained-fields").disabled = mode !== "sustained";
  offerStrategies(lab.strategies, mode, checked[mode]);
}

function parameters() {
  const mode = chosen("mode");
  return { mode, ...numbers(FIELDS[mode]), limits: chosen("limits"), strategies: checkedStrategies() };
}

/** Arrival rate x query time, said before the run so that it can be compared with what is measured. */
function predict() {
  const { mode, callers, spread_ms: spread, query_time_ms: query, rate_per_second: rate, duration_ms: length } = parameters();
  const words = byId("prediction");
  if (mode === "sustained") {
    const meanwhile = Math.min(query, length);
    const size = Math.max(1, (rate * meanwhile) / 1000);
    words.textContent = `Predicted without protection: ${count(rate)} requests/s × ${count(meanwhile)} ms = ` +
      `${counted(size, "query", "queries")} each time the template expires.`;
  } else {
    const within = spread > query || query === 0;
    const size = query === 0 ? 1 : within ? Math.max(1, (callers / spread) * query) : callers;
    words.textContent = `Predicted without protection: ${counted(size, "query", "queries")}, ` +
      (within
        ? `because that many of the ${count(callers)} callers ask within one query of ${count(query)} ms.`
        : "because every caller asks before the first answer is there.");
  }
  if (!Number.isFinite(query) || !Number.isFinite(mode === "sustained" ? rate * length : callers)) words.textContent = "";
}
