// Faults and background traffic: what is set, what it does, and which mechanism answers meanwhile.

import { ask } from "./api.js";
import { atWidthOf, byId, element, report, say } from "./dom.js";
import { choose, chosen, limit } from "./form.js";
import { count, sentence } from "./format.js";
import { onLive, pollNow } from "./live.js";
import { copyButtons, linkTo, onLinkTo } from "./share.js";
import { SOURCES, sourceName, sourcesBar } from "./sources.js";

const ENDS = "Everything clears by itself ten minutes after the last change, and soon after this page is closed.";

const SLOW = { cache: "cache-slow", database: "database-slow" };

let cacheName = "Cache";
let conditions = null;
let sending = false;
let sources = null;
let redrawSources = null;

/** Brings the section to life. */
export function showFaults({ cache, limits }) {
  byId("traffic").max = limits.traffic_per_second.most;
  limit({ "cache-slow": limits.slow_ms, "database-slow": limits.slow_ms });
  cacheName = cache === "redis" ? "Redis" : "Embedded cache";
  say(byId("cache-name"), cacheName);
  byId("faults-share").append(copyButtons({ value: () => conditions, link: () => linkTo("faults", settings(conditions ?? {})) }));
  onLinkTo("faults", offer);
  redrawSources = atWidthOf(byId("sources-bar"), drawSources);
  buildLegend();

  byId("traffic").addEventListener("input", () => say(byId("traffic-now"), `${count(byId("traffic").valueAsNumber)} requests/s`));
  byId("traffic").addEventListener("change", () => send("POST", { traffic_per_second: byId("traffic").valueAsNumber }));
  for (const backend of Object.keys(SLOW)) {
    byId(`${backend}-fault`).addEventListener("change", () => {
      if (!byId(SLOW[backend]).reportValidity()) return;
      send("POST", { [backend]: chosen(backend), [`${backend}_slow_ms`]: byId(SLOW[backend]).valueAsNumber });
    });
  }
  byId("faults-form").addEventListener("submit", (event) => event.preventDefault());
  byId("clear").addEventListener("click", () => send("DELETE"));
  onLive(({ answer }) => answer && live(answer));
  // Leaving the page ends the faults; the service would do the same ten seconds later.
  addEventListener("pagehide", () => {
    if (conditions?.mine && !isClear(conditions)) ask("DELETE", "/lab/conditions", undefined, { leaving: true }).catch(() => {});
  });
}

const SETTINGS = { traffic_per_second: Number, cache: String, cache_slow_ms: Number, database: String, database_slow_ms: Number };

/** What can be set, of conditions or of a link's texts. */
function settings(values) {
  const known = Object.entries(SETTINGS).filter(([name]) => values[name] !== undefined);
  return Object.fromEntries(known.map(([name, as]) => [name, as(values[name])]));
}

/** A link alone breaks nothing: a person has to agree. */
function offer(values) {
  const wanted = settings(values);
  const agree = element("button", { type: "button", text: "Set as the link says", click: () => send("POST", wanted).then(() => agree.remove()) });
  byId("faults-link").replaceChildren(agree);
}

async function send(method, body) {
  sending = true;
  try {
    take(await ask(method, "/lab/conditions", body));
    report(byId("faults-status"), "plain", inWords(conditions));
  } catch (problem) {
    if (problem.name !== "Problem") throw problem;
    report(byId("faults-status"), "bad", problem.message);
    if (conditions) take(conditions);
  } finally {
    sending = false;
    pollNow();
  }
}

function isClear(set) {
  return set.traffic_per_second === 0 && set.cache === "ok" && set.database === "ok";
}

function inWords(set) {
  if (isClear(set)) return "All is well, and there is no background traffic.";
  return `Set: ${count(set.traffic_per_second)} requests/s; ${cacheName} ${set.cache}; ` +
    `database ${set.database}.`;
}

/** Shows what is set, except where the person is just changing it. */
function take(set) {
  conditions = set;
  choose("cache", set.cache);
  choose("database", set.database);
  put("traffic", set.traffic_per_second);
  put("cache-slow", set.cache_slow_ms);
  put("database-slow", set.database_slow_ms);
  say(byId("traffic-now"), `${count(byId("traffic").valueAsNumber)} requests/s`);
  const lines = set.injected.map((words) => element("li", { text: sentence(words) }));
  if (lines.length && set.traffic_per_second === 0) {
    lines.push(element("li", { class: "hint", text: "There is no background traffic to show it: raise the slider." }));
  }
  if (listed(byId("injected")) !== lines.map((line) => line.textContent).join()) byId("injected").replaceChildren(...lines);
  byId("clear").disabled = isClear(set);
  const others = set.mine || isClear(set) ? "" : "Set by another page. ";
  say(byId("clears"), others + (isClear(set) ? "" : ENDS));
}

const listed = (list) => [...list.children].map((line) => line.textContent).join();

function put(id, value) {
  const input = byId(id);
  if (document.activeElement !== input || input.type === "range" && !input.matches(":active")) input.value = value;
}

function live(answer) {
  const before = conditions;
  if (!sending) take(answer.conditions);
  if (!sending && before?.mine && !isClear(before) && isClear(conditions)) {
    report(byId("faults-status"), "plain", "Everything was cleared: by another page, or because ten minutes were over or this page was away.");
  }
  const { mechanism, sentence: words } = answer.answering;
  const kind = ["shed", "error"].includes(mechanism) ? "bad" : mechanism === "stale" ? "warn" : mechanism === "idle" ? "plain" : "good";
  byId("mechanism").className = `mechanism ${kind}`;
  say(byId("mechanism"), mechanism);
  say(byId("mechanism-words"), sentence(words));
  showBackend("database-up", "Database", answer.backends.database_up);
  showBackend("cache-up", cacheName, answer.backends.cache_up);
  sources = answer.samples.at(-1)?.sources ?? sources;
  redrawSources();
}

function showBackend(id, name, up) {
  byId(id).className = `badge ${up ? "good" : "bad"}`;
  say(byId(id), `${name} ${up ? "is being asked" : "is not being asked"}`);
}

function buildLegend() {
  const entry = ([name, words]) => element("li", {},
    element("span", { class: `swatch source-${name}`, "aria-hidden": "true" }),
    element("span", {}, element("strong", { text: sourceName(name) }), ` ${words}`),
    element("span", { class: "share-of", id: `source-${name}` }));
  byId("sources").replaceChildren(...Object.entries(SOURCES).map(entry));
}

function drawSources(width) {
  for (const name of Object.keys(SOURCES)) say(byId(`source-${name}`), `${count(sources?.[name] ?? 0)}/s`);
  return sourcesBar({ width, counts: sources, of: "Answers of the last second" });
}
