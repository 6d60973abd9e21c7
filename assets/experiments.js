// Experiments: what people argue about, each with what was predicted and what was measured.

import { byId, element } from "./dom.js";
import { count } from "./format.js";
import { makesRuns } from "./section.js";
import { table } from "./table.js";

/** Fills the section with what there is to try (`GET /lab`). */
export function showExperiments({ experiments }) {
  const choice = element("select", { id: "experiment-name" },
    ...experiments.map(({ name, question }) => element("option", { value: name, text: question })));
  const setup = element("p", { class: "note" });
  const formula = element("p", { class: "note" });
  const results = element("div", { class: "results", id: "experiment-results" });
  const explain = () => {
    const about = experiments.find(({ name }) => name === choice.value);
    setup.textContent = about.setup;
    formula.textContent = `Predicted: ${about.formula}`;
  };
  const choose = (name) => {
    if (!experiments.some((known) => known.name === name)) return;
    choice.value = name;
    explain();
  };
  choice.addEventListener("change", explain);
  byId("experiments").append(
    element("form", { id: "experiment-form" },
      element("p", { class: "field" }, element("label", { for: choice.id, text: "The question" }), choice),
      setup, formula,
      element("div", { class: "actions" },
        element("button", { id: "experiment-go", class: "main", text: "Try it" }),
        element("button", { type: "button", id: "experiment-stop", text: "Stop", hidden: true }),
        element("div", { id: "experiment-share", hidden: true })),
      element("p", { class: "outcome-line" },
        element("progress", { id: "experiment-progress", max: 1, value: 0, "aria-label": "How far the run is", hidden: true }),
        element("span", { id: "experiment-status", class: "status", role: "status", tabindex: -1, "data-kind": "plain" }))),
    results);
  explain();
  makesRuns("experiment", {
    parameters: () => ({ experiment: choice.value }),
    restore: ({ experiment }) => choose(experiment),
    results,
    draw: ({ parameters, result }) => {
      choose(parameters.experiment);
      results.replaceChildren(...(result.cases.length ? outcome(result) : []));
    },
  });
}

function outcome({ question, columns, cases, answer }) {
  const figures = columns.map((head, at) => ({ head, look: "number", cell: ({ figures }) => figure(figures[at]) }));
  const name = { head: "Case", cell: (row) => element("strong", { text: row.case, title: row.settings.join(" ") }) };
  return [
    table({ caption: `${question} Measured, and in brackets predicted`, columns: [name, ...figures], rows: cases }),
    element("p", { text: answer }),
  ];
}

function figure({ measured, predicted, holds }) {
  if (predicted === null) return count(Math.round(measured));
  const words = `${count(Math.round(measured))} (${count(Math.round(predicted))})`;
  return element("span", { class: holds ? "good" : "bad", text: holds ? words : `${words} not as predicted` });
}
