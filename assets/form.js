// Forms: limits into number fields, values in and out, and nothing but numbers where numbers are meant.

import { byId, element } from "./dom.js";
import { count } from "./format.js";

// A field in the page is its name alone: the rest of it is the same for all.
for (const field of document.querySelectorAll(".field[data-for]")) {
  const { for: id, unit } = field.dataset;
  const input = element("input", { id, type: "number", required: true, step: 1, "aria-describedby": `${id}-hint` });
  field.replaceChildren(element("label", { for: id, text: field.textContent }),
    element("span", { class: "entry" }, input, unit && element("span", { text: unit })), element("small", { id: `${id}-hint` }));
}

/** Gives each number field its limits; its hint says them. `fields`: {id: {least, most}}. */
export function limit(fields) {
  for (const [id, { least, most }] of Object.entries(fields)) {
    const input = byId(id);
    input.min = least;
    input.max = most;
    const hint = document.getElementById(`${id}-hint`);
    if (hint) hint.textContent = `${count(least)} to ${count(most)}`;
  }
}

/** The numbers of these fields: {name: id} becomes {name: number}. */
export function numbers(fields) {
  return Object.fromEntries(Object.entries(fields).map(([name, id]) => [name, byId(id).valueAsNumber]));
}

/** Fills these fields with what `values` has for them; a link's texts are as good as numbers. */
export function fill(fields, values) {
  for (const [name, id] of Object.entries(fields)) {
    if (values[name] !== undefined && Number.isFinite(Number(values[name]))) byId(id).value = Number(values[name]);
  }
}

/** The value of the checked one among radio buttons of this name. */
export function chosen(name) {
  return document.querySelector(`input[name="${name}"]:checked`)?.value;
}

/** Checks the radio button of this name and value, if there is one. */
export function choose(name, value) {
  for (const radio of document.getElementsByName(name)) if (radio.value === value) radio.checked = true;
}
