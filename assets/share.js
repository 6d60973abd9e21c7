// What leaves the page: a result as JSON, and a link whose hash restores its parameters: `#stampede?callers=500&…`.

import { element, report } from "./dom.js";

/** The link that restores these parameters of a section. */
export function linkTo(section, parameters) {
  const pairs = Object.entries(parameters).map(([name, value]) => [name, Array.isArray(value) ? value.join(",") : String(value)]);
  return `${location.origin}${location.pathname}#${section}?${new URLSearchParams(pairs).toString().replaceAll("%2C", ",")}`;
}

/** Puts the parameters into the address, without a new entry in the history. */
export function keepInAddress(section, parameters) {
  history.replaceState(null, "", linkTo(section, parameters));
}

/** Calls `restore(parameters)` now if the address is a link to this section, and whenever it becomes one. */
export function onLinkTo(section, restore) {
  const read = () => {
    const [name, query] = location.hash.slice(1).split("?", 2);
    if (name !== section || query === undefined) return;
    restore(Object.fromEntries(new URLSearchParams(query)));
    document.getElementById(section)?.scrollIntoView({ behavior: "instant" });
  };
  addEventListener("hashchange", read);
  read();
}

/** The buttons "Copy as JSON" and "Copy link" over `value()` and `link()`; either may be null, which says there is none. */
export function copyButtons({ value, link }) {
  const status = element("span", { class: "copied", role: "status" });
  const button = (label, text) => element("button", {
    type: "button",
    class: "quiet",
    text: label,
    click: () => copy(text(), label, status),
  });
  const buttons = [value && button("Copy as JSON", () => JSON.stringify(value(), null, 2)), link && button("Copy link", link)];
  return element("div", { class: "share" }, ...buttons.filter(Boolean), status);
}

async function copy(text, label, status) {
  status.replaceChildren();
  try {
    await navigator.clipboard.writeText(text);
    report(status, "good", `${label.replace("Copy", "Copied")}.`);
  } catch {
    // Without a secure context or the permission: the text itself, to be copied by hand.
    const box = element("textarea", { class: "by-hand", readonly: true, rows: 3, "aria-label": "The text to copy" });
    box.value = text;
    status.dataset.kind = "plain";
    status.replaceChildren("Copy this: ", box);
    box.select();
  }
}
