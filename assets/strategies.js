// The strategies: one box each to choose, and what each is good and bad at.

import { byId, element } from "./dom.js";
import { sentence } from "./format.js";

// In a few words, for the boxes; the service's own description is below them.
const BRIEFLY = {
  off: "everyone asks",
  "load-or-store": "everyone asks, one answer is kept",
  mutex: "one after the other",
  singleflight: "one asks for all",
  early: "loads before it expires",
  stale: "the old value meanwhile",
};

/** Builds the boxes for these strategies (from `GET /lab`) and the list of what they are. */
export function buildStrategies(strategies) {
  byId("strategy-boxes").replaceChildren(...strategies.map(box));
  byId("strategy-list").replaceChildren(...strategies.map(description));
}

/** The names that are checked, in the page's order. */
export function checkedStrategies() {
  return [...document.querySelectorAll("#strategy-boxes input:checked:enabled")].map((input) => input.value);
}

/** Offers those that make sense in this mode, with `names` checked. */
export function offerStrategies(strategies, mode, names) {
  for (const { name, modes } of strategies) {
    const input = byId(`strategy-${name}`);
    input.disabled = !modes.includes(mode);
    input.checked = !input.disabled && names.includes(name);
    byId(`strategy-${name}-how`).textContent = input.disabled ? "needs sustained traffic" : (BRIEFLY[name] ?? "");
  }
}

function box({ name }) {
  const id = `strategy-${name}`;
  const input = element("input", { type: "checkbox", id, value: name, "aria-describedby": `${id}-how` });
  return element("label", { class: "box", for: id }, input,
    element("span", { class: "box-name", text: name }),
    element("span", { class: "box-how", id: `${id}-how` }));
}

function description({ name, how, good_at: good, bad_at: bad, protected: shields, service, setting }) {
  const by = service
    ? [element("span", { text: "This service with " }), element("code", { text: setting })]
    : [element("span", { text: "Written for this page, over the same cache and database" })];
  return element("article", { class: "strategy" },
    element("h4", {}, element("span", { text: name }), badge(shields)),
    element("p", { text: sentence(how) }),
    element("dl", { class: "judged" },
      element("dt", { class: "good", text: "Good" }), element("dd", { text: sentence(good) }),
      element("dt", { class: "bad", text: "Bad" }), element("dd", { text: sentence(bad) })),
    element("p", { class: "by" }, ...by, "."));
}

/** Says in words and in colour whether a strategy protects the database. */
export function badge(shields) {
  return element("span", { class: shields ? "badge good" : "badge bad", text: shields ? "protects" : "no protection" });
}
