// What is loading now, and the last 50 flights that landed.

import { ask } from "./api.js";
import { byId, element, report } from "./dom.js";
import { ago, count, milliseconds } from "./format.js";
import { onLive } from "./live.js";
import { copyButtons } from "./share.js";
import { table } from "./table.js";

const number = (head, value) => ({ head, look: "number", cell: value });

const LOADING = [
  { head: "By", cell: ({ by }) => by },
  number("Template", ({ template }) => count(template)),
  number("Age", ({ age_ms: age }) => milliseconds(age)),
  number("Callers", ({ callers }) => count(callers)),
  number("Generation", ({ generation }) => count(generation)),
  { head: "State", cell: ({ current }) => (current ? "current" : "forgotten: what it brings is not kept") },
];

const LANDED = [
  { head: "By", cell: ({ by }) => by },
  number("Template", ({ template }) => count(template)),
  { head: "Outcome", cell: ({ outcome }) => element("span", { class: outcome === "ok" ? "good" : "bad", text: outcome }) },
  number("Callers", ({ callers }) => count(callers)),
  number("Took", ({ took_ms: took }) => milliseconds(took)),
  number("Generation", ({ generation }) => count(generation)),
  number("Landed", ({ ago_ms: ms }) => ago(ms)),
];

let last = null;
let asking = false;

/** Keeps the section up to date, with every live poll. */
export function showFlights() {
  byId("flights-share").append(copyButtons({ value: () => last }));
  onLive(({ answer }) => answer && !asking && !byId("flights-pause").checked && refresh());
}

async function refresh() {
  asking = true;
  try {
    last = await ask("GET", "/lab/flights");
    const { in_flight: loading, landed } = last;
    byId("flights-now").replaceChildren(table({ caption: "Loading now", columns: LOADING, rows: loading, empty: "Nothing is loading at this moment." }));
    byId("flights-landed").replaceChildren(table({ caption: "Landed, the newest first", columns: LANDED, rows: landed, empty: "No flight has landed yet. Run a stampede with singleflight, or ask for a template below." }));
    report(byId("flights-status"), "plain", "");
  } catch (problem) {
    if (problem.name !== "Problem") throw problem;
    report(byId("flights-status"), "bad", problem.message);
  } finally {
    asking = false;
  }
}
