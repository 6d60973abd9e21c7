// What each section that makes runs has: a form with its button, stop, progress, a status line, and a result to share.

import { byId, report } from "./dom.js";
import { onLive } from "./live.js";
import { progressInWords, runsOf } from "./runs.js";
import { copyButtons, keepInAddress, linkTo, onLinkTo } from "./share.js";

/**
 * Brings the section `kind` to life, whose elements are named `#KIND-form`, `#KIND-go` and so on.
 *
 * `parameters()` reads the form, `restore(values)` fills it from a link, `refuse()` says why it cannot be run yet, if
 * so, and `draw(run)` shows in `results` what the run has brought so far.
 */
export function makesRuns(kind, { parameters, restore, refuse = () => null, results, draw }) {
  const part = (name) => byId(`${kind}-${name}`);
  const status = part("status");
  let last = null;
  let running = false;
  // What the status line said before a run of the other kind was in the way.
  let before = null;

  const busy = (words, share) => {
    running = true;
    before = null;
    report(status, "busy", words);
    part("progress").value = share;
    part("progress").hidden = part("stop").hidden = false;
    part("go").disabled = true;
  };
  const idle = (kind, words) => {
    running = false;
    // A button that vanishes under the focus would send the keyboard back to the top.
    if (document.activeElement === part("stop")) status.focus();
    part("progress").hidden = part("stop").hidden = true;
    part("go").disabled = false;
    report(status, kind, words);
  };
  const fail = (words) => idle("bad", words);
  const lost = (words) => report(status, "bad", `${words} The run is shown again as soon as it does.`);
  const show = (run) => {
    last = run;
    if (run.state === "running") busy(`Running ${progressInWords(run.progress)}`, run.progress.share);
    else idle(...ending(run));
    part("share").hidden = false;
    results.classList.remove("outdated");
    draw(run);
  };
  /** A run's parameters in the order of the form's. */
  const of = (values) => Object.fromEntries(Object.keys(parameters()).map((name) => [name, values[name]]));

  const runs = runsOf(kind, { show, fail, lost });
  part("form").addEventListener("submit", (event) => {
    event.preventDefault();
    const why = refuse();
    if (why) {
      fail(why);
      return;
    }
    busy("Starting…", 0);
    keepInAddress(kind, parameters());
    runs.start(parameters());
  });
  onLive(({ answer }) => {
    if (!answer || running) return;
    const other = answer.run?.state === "running" && answer.run.kind !== kind;
    part("go").disabled = other;
    if (other && !before) {
      before = [status.dataset.kind, status.textContent];
      report(status, "plain", `Another run is under way: ${answer.run.kind}. Stop it or wait for its end.`);
    } else if (!other && before) {
      report(status, ...before);
      before = null;
    }
  });
  // Results of other settings than those in the form are said to be so.
  part("form").addEventListener("input", () => {
    if (running || !last) return;
    const same = JSON.stringify(parameters()) === JSON.stringify(of(last.parameters));
    results.classList.toggle("outdated", !same);
    report(status, "plain", same ? "" : "Settings changed: the results are those of the run before.");
  });
  part("stop").addEventListener("click", () => runs.stop());
  part("share").append(copyButtons({ value: () => last, link: () => linkTo(kind, last.parameters) }));
  onLinkTo(kind, (values) => {
    restore(values);
    report(status, "plain", "Set as the link says. Press the button to run it.");
  });
  part("go").disabled = false;
}

function ending({ state, problem, result }) {
  if (state === "failed") return ["bad", `The run failed: ${problem}`];
  if (state === "stopped") return ["plain", "Stopped. This is what was done until then."];
  const { ok, sentence: words } = result.verdict;
  // No green: that a promise was kept says nothing of the errors that the table shows.
  return [ok ? "plain" : "bad", `Done: ${words.replace(/\.?$/, ".")}`];
}
