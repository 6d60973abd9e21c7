// The poll of /lab/live: keeps the last five minutes of samples, and tells everyone who listens.
//
// It is also the sign that this page is still here: while it asks, what it has set (faults, traffic) stays.

import { ask } from "./api.js";

export const WINDOW = 300;
const VISIBLE_MS = 1000;
// Below the ten seconds after which the service takes the page for gone.
const HIDDEN_MS = 4000;
const AFTER_FAILURE_MS = 2000;

const listeners = [];
let samples = [];
let last = null;
let process = null;
let timer = null;
let asking = false;
let here = false;

/**
 * Calls `listener` after every poll with {answer, samples, restarted}, or with {problem}: `restarted` means that the
 * service counts from the beginning again.
 */
export function onLive(listener) {
  listeners.push(listener);
}

/** Begins to poll, until the page is left. */
export function beginLive() {
  document.addEventListener("visibilitychange", () => here && soon(document.hidden ? HIDDEN_MS : 0));
  addEventListener("pagehide", () => {
    here = false;
    clearTimeout(timer);
  });
  // The page may come back from the browser's memory as it was.
  addEventListener("pageshow", begin);
  begin();
}

/** Polls at once, because something has just been changed. */
export function pollNow() {
  if (here) soon(0);
}

function begin() {
  here = true;
  soon(0);
}

function soon(ms) {
  clearTimeout(timer);
  timer = setTimeout(poll, ms);
}

async function poll() {
  if (asking || !here) return;
  asking = true;
  let pause = document.hidden ? HIDDEN_MS : VISIBLE_MS;
  try {
    const answer = await ask("GET", last === null ? "/lab/live" : `/lab/live?since=${last}`);
    tell({ answer, restarted: keep(answer), samples });
  } catch (problem) {
    if (problem.name !== "Problem") throw problem;
    pause = AFTER_FAILURE_MS;
    tell({ problem });
  } finally {
    asking = false;
    if (here) soon(pause);
  }
}

function keep(answer) {
  const restarted = process !== null && answer.process !== process;
  process = answer.process;
  if (restarted) samples = [];
  const newest = samples.length ? samples[samples.length - 1].seq : -1;
  samples = samples.concat(answer.samples.filter((sample) => sample.seq > newest)).slice(-WINDOW);
  // After a restart everything is asked for again: `since` named a sample of the service before it.
  last = restarted ? null : answer.seq;
  return restarted;
}

function tell(news) {
  for (const listener of listeners) listener(news);
}
