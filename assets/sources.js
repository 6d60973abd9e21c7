// Where answers come from: the names of `template_responses_total`, what they mean, and their shares as a bar.

import { drawn } from "./dom.js";
import { count } from "./format.js";

export const SOURCES = {
  hit: "from the cache",
  near: "from a copy that was just confirmed",
  local: "from this process' copy",
  loaded: "own load",
  shared: "another caller's load",
  stale: "an old copy, past its TTL",
  not_found: "no such template",
  shed: "refused at once",
  error: "no answer",
};

const HEIGHT = 22;

/** A source's name as people write it. */
export function sourceName(name) {
  return name.replace("_", " ");
}

/** The sums of several counts by source. */
export function summed(all) {
  const sums = {};
  for (const counts of all) for (const name of Object.keys(SOURCES)) sums[name] = (sums[name] ?? 0) + (counts[name] ?? 0);
  return sums;
}

/** One bar that is divided among the sources; `of` says whose answers they are. */
export function sourcesBar({ width, counts, of }) {
  const parts = Object.keys(SOURCES).map((name) => ({ name, value: counts?.[name] ?? 0 })).filter(({ value }) => value > 0);
  const whole = parts.reduce((sum, { value }) => sum + value, 0);
  const words = parts.map(({ name, value }) => `${sourceName(name)} ${count(value)}`).join(", ") || "none";
  const svg = drawn("svg", {
    class: "chart divided", role: "img", "aria-label": `${of}: ${words}`, width, height: HEIGHT, viewBox: `0 0 ${width} ${HEIGHT}`,
  });
  svg.append(drawn("rect", { class: "empty", x: 0, y: 0, width, height: HEIGHT, rx: 4 }));
  let at = 0;
  for (const { name, value } of parts) {
    const share = (value / whole) * width;
    svg.append(drawn("rect", { class: `source-${name}`, x: at, y: 0, width: share, height: HEIGHT }));
    at += share;
  }
  return svg;
}
