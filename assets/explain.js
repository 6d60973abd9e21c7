// Why one request was answered as it was: its Cache-Status and Server-Timing, in words.

import { ask } from "./api.js";
import { byId, element, report, say } from "./dom.js";
import { milliseconds } from "./format.js";
import { copyButtons, keepInAddress, linkTo, onLinkTo } from "./share.js";
import { table } from "./table.js";
import { showTraces } from "./waterfall.js";

let last = null;

/** Brings the section to life. */
export function showExplanation() {
  const input = byId("explain-id");
  byId("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    explain(input.value.trim());
  });
  byId("explain-share").append(copyButtons({ value: () => last, link: () => linkTo("explain", { id: input.value.trim() }) }));
  onLinkTo("explain", ({ id }) => {
    input.value = id ?? "";
    report(byId("explain-status"), "plain", "Set as the link says. Press the button to ask.");
  });
}

async function explain(id) {
  const status = byId("explain-status");
  report(status, "busy", "Asking…");
  keepInAddress("explain", { id });
  try {
    last = await ask("GET", `/lab/explain?${new URLSearchParams({ id })}`);
  } catch (problem) {
    if (problem.name !== "Problem") throw problem;
    report(status, "bad", problem.message);
    return;
  }
  report(status, last.status < 400 ? "good" : "bad", `${last.status} in ${milliseconds(last.took_ms)}. ${last.sentence}`);
  draw();
}

function draw() {
  byId("explanation").hidden = byId("explain-share").hidden = false;
  showTraces(byId("explain"));
  say(byId("explain-request"), last.request);
  const headers = Object.entries(last.headers).map(([name, value]) =>
    element("div", {}, element("dt", { text: name }), element("dd", { text: value })));
  byId("explain-headers").replaceChildren(...headers);
  // An error's body says what the sentence above says.
  byId("explain-whole").open = last.status < 400;
  say(byId("explain-body"), typeof last.body === "string" ? last.body : JSON.stringify(last.body, null, 2));
  const code = (text) => element("code", { text });
  byId("explain-cache").replaceChildren(table({
    caption: "Cache-Status says where the answer came from",
    columns: [{ head: "Part", cell: ({ member }) => code(member) }, { head: "Meaning", cell: ({ meaning }) => meaning }],
    rows: last.cache_status,
    empty: "This answer has none.",
  }));
  byId("explain-timing").replaceChildren(table({
    caption: "Server-Timing says what took how long",
    columns: [
      { head: "Step", cell: ({ name }) => code(name) },
      { head: "Took", look: "number", cell: ({ ms }) => milliseconds(ms) },
      { head: "Meaning", cell: ({ meaning }) => meaning },
    ],
    rows: last.server_timing,
    empty: "This answer has none.",
  }));
}
