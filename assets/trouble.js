// What goes wrong is shown: the connection to the service, and errors of this page itself.

import { byId, report, say } from "./dom.js";
import { onLive } from "./live.js";

/** Shows whatever nobody caught. */
export function watchForErrors() {
  addEventListener("error", (event) => show(event.message));
  addEventListener("unhandledrejection", (event) => show(event.reason?.message ?? String(event.reason)));
  byId("trouble-close").addEventListener("click", () => byId("trouble").close());
}

function show(words) {
  say(byId("trouble-words"), words);
  const box = byId("trouble");
  if (!box.open) box.show();
}

/** Keeps the line at the top: live, or since when the service has not answered and why. */
export function showConnection() {
  const line = byId("connection");
  let silent = false;
  let note = null;
  onLive(({ problem, restarted, answer }) => {
    if (problem) {
      silent = true;
      note = null;
      report(line, "bad", `${problem.message} Asking again every 2 seconds.`);
      document.body.classList.add("cut-off");
      return;
    }
    if (restarted) note = { words: "The service was restarted: everything counts anew.", until: Date.now() + 10000 };
    else if (silent) note = { words: "The service answers again.", until: Date.now() + 5000 };
    silent = false;
    document.body.classList.remove("cut-off");
    if (note && Date.now() > note.until) note = null;
    report(line, "good", note ? note.words : `Live. Answers now: ${answer.answering.mechanism}`);
  });
}
