// A step's run as it was told, line by line, and what had happened in it by any moment.

import { LOOKS } from "./guide-steps.js";

/** Collects the lines of one run, which begins when `before` has ended. `changed()` is called whenever there is more. */
export class Reel {
  scene = null;
  sums = null;
  problem = null;
  frames = [];
  gone = new AbortController();

  constructor(order, open, changed, before) {
    this.order = order;
    this.collected = this.#collect(open, changed, before);
  }

  async #collect(open, changed, before) {
    await Promise.allSettled([before]);
    try {
      for await (const line of open(this.order, this.gone.signal)) {
        if (line.scene) this.scene = line.scene;
        else if (line.end) this.sums = line.end;
        else if (line.problem) this.problem = line.problem;
        else this.frames.push(line);
        changed(this);
      }
      if (!this.sums) this.problem ??= "The run broke off.";
    } catch (problem) {
      if (problem.name !== "Problem" && problem.name !== "AbortError") throw problem;
      this.problem = problem.message;
    }
    changed(this);
  }

  /** Closes the stream, which ends its run. */
  close() {
    this.gone.abort();
  }

  /** Milliseconds of the run that there are by now. */
  get length() {
    return this.frames.at(-1)?.t ?? 0;
  }
}

/** Plays a reel: tells `picture` what happens, and counts. Callers set out `lead` ms earlier, to be there when they ask. */
export class Playback {
  requests = 0;
  failed = 0;
  state = { atOnce: 0, asked: 0, flights: 0, cacheCut: false, databaseCut: false };
  #next = 0;
  #nextToSetOut = 0;
  #setOut = 0;
  #lastEnded = 0;

  constructor(reel, picture, lead) {
    Object.assign(this, { reel, picture, lead, at: -lead });
  }

  /** Goes on to this moment of the run, or as far as there is of it. */
  advance(to) {
    const { frames, length, sums } = this.reel;
    this.at = Math.min(to, sums ? length : length - this.lead);
    while (this.#nextToSetOut < frames.length && frames[this.#nextToSetOut].t <= this.at + this.lead) {
      const { b = [] } = frames[this.#nextToSetOut++];
      b.forEach((key, at) => this.picture.begin(this.#setOut++, key, at / b.length));
    }
    while (this.#next < frames.length && frames[this.#next].t <= this.at) this.#happen(frames[this.#next++]);
  }

  get isOver() {
    return this.reel.sums !== null && this.#next === this.reel.frames.length;
  }

  #happen({ b = [], e = [], q: [atOnce, asked, flights], x: [cacheCut, databaseCut] }) {
    this.requests += b.length;
    for (let at = 0; at < e.length; at += 2) {
      this.#lastEnded += e[at];
      const look = LOOKS[e[at + 1]];
      if (look === "failed") this.failed += 1;
      this.picture.end(this.#lastEnded, look);
    }
    this.state = { atOnce, asked, flights, cacheCut: !!cacheCut, databaseCut: !!databaseCut };
  }
}

/** The moment at which most requests wait: what a still picture shows. */
export function worstMoment(reel) {
  let waiting = 0;
  let worst = { waiting: -1, t: 0 };
  for (const { t, b = [], e = [] } of reel.frames) {
    waiting += b.length - e.length / 2;
    if (waiting > worst.waiting) worst = { waiting, t };
  }
  return worst.t;
}
