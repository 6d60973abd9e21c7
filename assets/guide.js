// The guided story: plays one run after the other, slowly enough to be seen, and lets the reader take over.

import { byId, element, report, say } from "./dom.js";
import { count, counted } from "./format.js";
import { Picture, TRAVEL_MS } from "./guide-picture.js";
import { Playback, Reel, worstMoment } from "./guide-reel.js";
import { BY_HAND, STEPS } from "./guide-steps.js";

// How long a step is on the screen. Its run may have taken less or more.
const STEP_MS = 6000;
const REST_MS = 2500;
// A picture that was away for a while does not catch up.
const LONGEST_FRAME_MS = 200;

/**
 * Brings the story to life. `open(order, signal)` yields the lines of a run; `recorded` says that there are only those
 * runs that were recorded; `starts` that it may begin by itself.
 */
export function tellGuide({ open, recorded = false, starts = true }) {
  const section = byId("guide");
  const canvas = byId("guide-picture");
  const picture = new Picture(canvas);
  const still = matchMedia("(prefers-reduced-motion: reduce)");
  const hand = Object.fromEntries(BY_HAND.map(([name]) => [name, true]));
  let at = 0;
  let control = true;
  let playing = starts;
  let visible = true;
  // The reader has changed something: the story waits.
  let held = false;
  let reel = null;
  let ahead = null;
  let playback = null;
  let rested = 0;
  // The run on the screen has been shown to its end.
  let over = false;
  let speed = 1;
  let before = null;

  const steps = STEPS.map(({ title }, step) => {
    const outcome = element("span", { class: "guide-outcome" });
    const button = element("button", { type: "button", class: "guide-step", click: () => go(step) },
      element("span", { class: "guide-number", text: String(step + 1) }),
      element("span", { class: "guide-name", text: title }), outcome);
    return { button, outcome };
  });
  byId("guide-steps").replaceChildren(...steps.map(({ button }) => element("li", {}, button)));
  const hands = BY_HAND.map(([name, label, on, off]) => {
    const button = element("button", { type: "button", class: "guide-switch", click: () => { hand[name] = !hand[name]; go(at); } });
    const show = () => {
      button.setAttribute("aria-pressed", hand[name]);
      say(button, `${label}: ${hand[name] ? on : off}`);
    };
    return { button, show };
  });
  byId("guide-hand").append(...hands.map(({ button }) => button));

  /** The order for a step; the last one is the reader's. */
  const order = (step, on) => {
    const { name, control: has } = STEPS[step];
    return has || recorded ? { step: name, control: on } : { step: name, by_hand: hand };
  };

  function go(step, on = true) {
    const old = reel;
    old?.close();
    const next = ahead;
    ahead = null;
    at = step;
    control = on;
    held = false;
    rested = 0;
    over = false;
    playback = null;
    report(byId("guide-status"), "busy", "");
    if (next?.at === step && on) reel = next.reel;
    else {
      next?.reel.close();
      reel = new Reel(order(step, on), open, heard, old?.collected);
    }
    tell();
    heard(reel);
  }

  /** There is more of a run. */
  function heard(one) {
    if (one !== reel) return;
    if (one.problem) {
      playing = false;
      report(byId("guide-status"), "bad", `${one.problem} Press play to go on.`);
      buttons();
    } else if (one.scene && !playback) {
      picture.reset(one.scene);
      playback = new Playback(one, picture, (TRAVEL_MS * one.scene.length_ms) / STEP_MS);
      say(byId("guide-settings"), `${one.scene.settings.join(" ")}.`);
      say(byId("guide-slower"), `${count(STEP_MS / one.scene.length_ms)} times slower than it happened`);
    }
    if (one.sums && still.matches) showStill();
    else if (one.sums && playing && !recorded) fetchAhead();
  }

  function fetchAhead() {
    if (ahead || held || at + 1 >= STEPS.length) return;
    ahead = { at: at + 1, reel: new Reel(order(at + 1, true), open, heard) };
  }

  /** What the reader has changed in this step, in words; nothing if it is the story's own. */
  function variant() {
    if (STEPS[at].control) return control ? "" : STEPS[at].control[1];
    return BY_HAND.filter(([name]) => !hand[name]).map(([, label, , off]) => `${label}: ${off}`).join(", ");
  }

  /** The whole run has been shown. What the story's own came to stands beside its step from now on. */
  function finish() {
    over = true;
    const { requests, asked, queries, failed, warm_up_queries: before } = reel.sums;
    numbers(requests, asked, failed);
    canvas.setAttribute("aria-label", [`${STEPS[at].title}: ${summary(reel.sums)}`, variant()].filter(Boolean).join(", "));
    buttons();
    if (variant()) return;
    const { outcome, button } = steps[at];
    Object.assign(button.dataset, { requests, asked, queries, failed, before });
    say(outcome, failed ? `${count(failed)} failed` : "none failed");
    outcome.className = `guide-outcome ${failed ? "bad" : "good"}`;
  }

  function tell() {
    const { title, words, without, recorded: told, control: has } = STEPS[at];
    steps.forEach(({ button }, step) => (step === at ? button.setAttribute("aria-current", "step") : button.removeAttribute("aria-current")));
    say(byId("guide-title"), `${at + 1}. ${title}`);
    say(byId("guide-words"), (recorded && told) || (control ? words : without));
    const toggle = byId("guide-control");
    toggle.hidden = !has;
    if (has) say(toggle, `Try it ${has[control ? 1 : 0]}`);
    say(byId("guide-variant"), variant());
    byId("guide-hand").hidden = Boolean(has) || recorded;
    byId("guide-more").hidden = Boolean(has) || recorded;
    for (const { show } of hands) show();
    numbers(0, 0, 0);
    buttons();
  }

  function numbers(requests, asked, failed) {
    say(byId("guide-requests"), count(requests));
    say(byId("guide-asked"), count(asked));
    say(byId("guide-failed"), count(failed));
    byId("guide-failed").className = failed ? "bad" : "";
  }

  const isLast = () => at === STEPS.length - 1;
  /** Nothing moves until the reader goes on. */
  const waits = () => over && !still.matches && (held || isLast());

  function buttons() {
    const goesOn = isLast() ? "Again" : "Go on";
    say(byId("guide-play"), waits() ? goesOn : playing && !still.matches ? "Pause" : "Play");
    byId("guide-back").disabled = at === 0;
    byId("guide-next").disabled = isLast();
    byId("guide-play").hidden = still.matches && reel !== null && !reel.problem;
  }

  function play(on) {
    playing = on;
    if (on && reel === null) go(at);
    else if (on && reel.problem) go(at, control);
    buttons();
  }

  function press() {
    if (!waits()) return play(!playing);
    playing = true;
    // Told from its beginning, it is the story's own again.
    if (isLast()) for (const name of Object.keys(hand)) hand[name] = true;
    go(isLast() ? 0 : at + 1);
  }

  const next = () => at + 1 < STEPS.length && go(at + 1);
  const back = () => at > 0 && go(at - 1);

  function frame(now) {
    const passed = Math.min(before === null ? 0 : now - before, LONGEST_FRAME_MS);
    before = now;
    if (playing && visible && playback && !still.matches) {
      const ms = passed * speed;
      // What has not been heard yet cannot be shown: the picture waits.
      playback.advance(playback.at + (ms * reel.scene.length_ms) / STEP_MS);
      picture.step(ms, playback.state);
      show();
      if (playback.isOver) {
        rested += ms;
        if (rested > REST_MS && !held && at + 1 < STEPS.length) go(at + 1);
      }
    }
    requestAnimationFrame(frame);
  }

  function show() {
    picture.draw(playback.state);
    const { requests, failed, state } = playback;
    if (!playback.isOver) numbers(requests, state.asked, failed);
    else if (!over) finish();
  }

  /** One moment of the run instead of the run: the telling one, or that at which most requests waited. */
  function showStill() {
    picture.reset(reel.scene);
    const slower = STEP_MS / reel.scene.length_ms;
    playback = new Playback(reel, picture, TRAVEL_MS / slower);
    const until = slower * (STEPS[at].still ? STEPS[at].still * reel.scene.length_ms : worstMoment(reel));
    for (let ms = -TRAVEL_MS; ms < until; ms += 16) {
      playback.advance(ms / slower);
      picture.step(16, playback.state);
    }
    picture.draw(playback.state);
    finish();
    say(byId("guide-slower"), "one moment of the run; the numbers are those of all of it");
  }

  byId("guide-play").addEventListener("click", press);
  byId("guide-next").addEventListener("click", next);
  byId("guide-back").addEventListener("click", back);
  byId("guide-speed").addEventListener("change", (event) => (speed = Number(event.target.value)));
  byId("guide-control").addEventListener("click", () => {
    go(at, !control);
    held = true;
    playing = true;
    buttons();
  });
  addEventListener("keydown", (event) => {
    const elsewhere = document.activeElement !== document.body && !section.contains(document.activeElement);
    if (elsewhere || !visible || event.altKey || event.ctrlKey || event.metaKey || event.target.matches("input, select")) return;
    if (event.key === "ArrowRight") next();
    else if (event.key === "ArrowLeft") back();
    else if (event.key === " " && !event.target.matches("button, a")) press();
    else return;
    event.preventDefault();
  });
  new IntersectionObserver(([entry]) => (visible = entry.isIntersecting)).observe(canvas);
  addEventListener("pagehide", () => {
    reel?.close();
    ahead?.reel.close();
  });
  const redraw = () => {
    picture.resize();
    if (still.matches && reel?.sums) showStill();
    else picture.draw(playback?.state ?? { atOnce: 0, flights: 0 });
  };
  new ResizeObserver(redraw).observe(canvas);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  still.addEventListener("change", () => go(at, control));
  picture.resize();
  if (starts) go(0);
  else {
    tell();
    report(byId("guide-status"), "plain", "It makes real requests to your database and cache. Press play to begin.");
  }
  requestAnimationFrame(frame);
}

function summary({ requests, asked, queries, failed }) {
  return `${counted(requests, "request")}, ${count(asked)} asked the database, ${counted(queries, "query", "queries")} run, ${count(failed)} failed`;
}
