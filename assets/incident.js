// The incident's form; section.js plays it, and what happened is told by story.js.

import { byId } from "./dom.js";
import { fill, limit, numbers } from "./form.js";
import { makesRuns } from "./section.js";
import { tellStory } from "./story.js";

const FIELDS = {
  rate_per_second: "incident-rate",
  query_time_ms: "incident-query-time",
  knee: "incident-knee",
  ttl_ms: "incident-ttl",
  warm_ms: "incident-warm",
  outage_ms: "incident-outage",
  recovery_ms: "incident-recovery",
};

/** Brings the section to life with what there is to choose (`GET /lab`). */
export function showIncident({ limits, defaults }) {
  limit({
    "incident-rate": limits.rate_per_second,
    "incident-query-time": limits.query_time_ms,
    "incident-knee": limits.knee,
    "incident-ttl": limits.ttl_ms,
    "incident-warm": limits.phase_ms,
    "incident-outage": limits.phase_ms,
    "incident-recovery": limits.phase_ms,
  });
  fill(FIELDS, defaults.incident);
  makesRuns("incident", {
    parameters: () => numbers(FIELDS),
    restore: (values) => fill(FIELDS, values),
    results: byId("story"),
    draw: tellStory,
  });
}
