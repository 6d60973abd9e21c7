// The line at the top: live, or that the service does not answer and why.

import { byId, report, say } from "./dom.js";
import { onLive } from "./live.js";

/** Keeps the line at the top: live, or since when the service has not answered and why. */
export function showConnection() {
  const line = byId("connection");
  let silent = false;
  let note = null;
  onLive(({ problem, restarted, answer }) => {
    if (problem) {
      silent = true;
      note = null;
      say(byId("connection-answers"), "");
      report(line, "bad", `${problem.message} Asking again every 2 seconds.`);
      document.body.classList.add("cut-off");
      return;
    }
    if (restarted) note = { words: "The service was restarted: everything counts anew.", until: Date.now() + 10000 };
    else if (silent) note = { words: "The service answers again.", until: Date.now() + 5000 };
    silent = false;
    document.body.classList.remove("cut-off");
    if (note && Date.now() > note.until) note = null;
    // Beside the line, not in it: what changes every second is not to be read aloud.
    say(byId("connection-answers"), `Answers now: ${answer.answering.mechanism}`);
    report(line, "good", note ? note.words : "Live.");
  });
}
