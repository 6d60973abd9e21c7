// The large line: requests in, queries out, requests per query.

import { byId, say } from "./dom.js";
import { count } from "./format.js";
import { onLive } from "./live.js";

/** Keeps the line up to date. */
export function showHeadline() {
  onLive(({ answer }) => {
    if (!answer) return;
    const { requests, queries, requests_per_query: ratio } = answer.totals;
    say(byId("headline-requests"), count(requests));
    say(byId("headline-queries"), count(queries));
    say(byId("headline-ratio"), count(ratio));
  });
}
