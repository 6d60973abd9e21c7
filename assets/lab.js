// The page's beginning: what there is to choose is asked for, then each section is brought to life.

import { ask, askLines } from "./api.js";
import { showConnection } from "./connection.js";
import { byId, report } from "./dom.js";
import { showExperiments } from "./experiments.js";
import { showExplanation } from "./explain.js";
import { showFaults } from "./faults.js";
import { showFlights } from "./flights.js";
import { tellGuide } from "./guide.js";
import { showIncident } from "./incident.js";
import { beginLive } from "./live.js";
import { showPanels } from "./panels.js";
import { showRight } from "./right.js";
import { showStampede } from "./stampede.js";

const AGAIN_MS = 2000;

async function choices() {
  for (;;) {
    try {
      return await ask("GET", "/lab");
    } catch (problem) {
      if (problem.name !== "Problem") throw problem;
      report(byId("connection"), "bad", `${problem.message} Asking again every ${AGAIN_MS / 1000} seconds.`);
      await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    }
  }
}

const lab = await choices();
showConnection();
showPanels();
showStampede(lab);
showFaults(lab);
showIncident(lab);
showExperiments(lab);
showRight();
showFlights();
showExplanation();
beginLive();
// Someone else's database is not asked for a thing before a person wants it.
const starts = lab.database === "embedded" && lab.cache === "embedded";
tellGuide({ open: (order, signal) => askLines("/lab/story", order, signal), starts });
