// A run of a kind ("stampede", "incident"): started, followed until it ends, stopped; also one that another page started.

import { ask } from "./api.js";
import { onLive } from "./live.js";

const BETWEEN_MS = 250;
const AFTER_FAILURE_MS = 2000;
const GONE = "The service no longer knows this run: it was restarted, or eight newer runs have ended.";

/**
 * The runs of one kind. `show(run)` is called with each state of the run, `fail(words)` with what went wrong, and
 * `lost(words)` while the service does not answer but may again.
 */
export function runsOf(kind, { show, fail, lost }) {
  let id = null;

  const follow = async (run) => {
    id = run.id;
    while (id === run.id) {
      show(run);
      if (run.state !== "running") break;
      await pause(BETWEEN_MS);
      run = await next(run);
      if (!run) break;
    }
    id = null;
  };

  const next = async (run) => {
    for (;;) {
      try {
        const now = await ask("GET", `/lab/runs/${run.id}`);
        if (now.process === run.process) return now;
        fail(GONE);
        return null;
      } catch (problem) {
        if (problem.name !== "Problem") throw problem;
        if (problem.status === 404) {
          fail(GONE);
          return null;
        }
        lost(problem.message);
        await pause(AFTER_FAILURE_MS);
      }
    }
  };

  const attempt = async (request) => {
    try {
      return await request();
    } catch (problem) {
      if (problem.name !== "Problem") throw problem;
      fail(problem.message);
      return null;
    }
  };

  onLive(({ answer }) => {
    const run = answer?.run;
    if (id === null && run?.kind === kind && run.state === "running") {
      id = run.id;
      attempt(() => ask("GET", `/lab/runs/${run.id}`)).then((whole) => (whole ? follow(whole) : (id = null)));
    }
  });

  return {
    async start(parameters) {
      const run = await attempt(() => ask("POST", `/lab/runs/${kind}`, parameters));
      if (run) await follow(run);
    },
    async stop() {
      if (id !== null) await attempt(() => ask("DELETE", `/lab/runs/${id}`));
    },
  };
}

/** "1 of 4: off", as far as the run is. */
export function progressInWords({ done, of, doing }) {
  return `${Math.min(done + 1, of)} of ${of}: ${doing}`;
}

function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
