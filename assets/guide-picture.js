// The picture: callers as dots, the cache, the local copies, the shared loads, the permits, the database with its queue.
//
// Dots move to where the events of a run have put them. What a dot means is in its shape as well as in its colour.

const COLOURS = ["text", "quiet", "edge", "edge-strong", "surface", "sunken", "copy", "local", "query", "stale", "failed", "wait"];
export const TRAVEL_MS = 450;
// A waiting dot comes so much nearer to its place in a millisecond.
const PULL = 1 / 110;

/** Draws into `canvas`, for as long as `resize` and `draw` are called. */
export class Picture {
  #canvas;
  #context;
  #colours = {};
  #marks = {};
  #labels = [];
  #dots = new Map();
  #waiting = [];
  #failed = 0;
  #tokens = [];
  #cells = new Map();
  #centres = [];
  #places = null;
  #clock = 0;
  #scene = null;

  constructor(canvas) {
    this.#canvas = canvas;
    this.#context = canvas.getContext("2d");
  }

  /** Clears the picture for a run of this kind. */
  reset(scene) {
    this.#scene = scene;
    this.#dots.clear();
    this.#waiting = [];
    this.#tokens = [];
    this.#cells.clear();
    this.#failed = 0;
    this.#clock = 0;
    this.#findCentres();
  }

  /** Takes the canvas' size and the page's colours as they are now. */
  resize() {
    // A canvas that is not laid out yet has no size of its own.
    const width = this.#canvas.clientWidth || 640;
    const height = this.#canvas.clientHeight || 400;
    const ratio = Math.min(devicePixelRatio || 1, 2);
    this.#canvas.width = width * ratio;
    this.#canvas.height = height * ratio;
    this.#context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const style = getComputedStyle(this.#canvas);
    for (const name of COLOURS) this.#colours[name] = style.getPropertyValue(`--${name}`);
    this.#places = width < 640 ? tall(width, height) : wide(width, height);
    this.#paintMarks(ratio);
    this.#findCentres();
  }

  /** A request has come; `share` says when within its frame. */
  begin(id, key, share) {
    const { from } = this.#places;
    const dot = { id, key, look: null, phase: "coming", since: this.#clock + share * 80, x: 0, y: 0, a: from(jitter(id)), b: this.#at("cache", id) };
    this.#dots.set(id, dot);
  }

  /** It has its answer, from where `look` says. */
  end(id, look) {
    const dot = this.#dots.get(id);
    if (!dot) return;
    dot.look = look;
    if (dot.phase === "waiting") this.#leave(dot);
  }

  /** Lets so much time of the picture pass. */
  step(ms, state) {
    this.#clock += ms;
    this.#queueUp(state);
    const pull = 1 - Math.exp(-ms * PULL);
    for (const dot of this.#dots.values()) {
      if (dot.phase === "waiting") {
        dot.x += (dot.to.x - dot.x) * pull;
        dot.y += (dot.to.y - dot.y) * pull;
        continue;
      }
      const share = Math.max(0, Math.min(1, (this.#clock - dot.since) / TRAVEL_MS));
      const eased = share * (2 - share);
      dot.x = dot.a.x + (dot.b.x - dot.a.x) * eased;
      dot.y = dot.a.y + (dot.b.y - dot.a.y) * eased;
      if (share === 1) this.#arrive(dot);
    }
  }

  #at(place, id) {
    const { x, y, w, h } = this.#places[place];
    return { x: x + w * (0.2 + 0.6 * jitter(id * 7 + 3)), y: y + h * (0.25 + 0.5 * jitter(id * 13 + 5)) };
  }

  #travel(dot, phase, to) {
    Object.assign(dot, { phase, since: this.#clock, a: { x: dot.x, y: dot.y }, b: to });
  }

  #arrive(dot) {
    if (dot.phase === "gone") this.#dots.delete(dot.id);
    else if (dot.phase === "falling") dot.phase = "fallen";
    else if (dot.phase === "coming" || dot.phase === "asking") {
      const copies = dot.look === "local" || dot.look === "stale";
      if (copies && dot.phase === "coming") this.#travel(dot, "asking", this.#at("copies", dot.id));
      else if (dot.look) this.#leave(dot);
      else {
        dot.phase = "waiting";
        dot.to = { x: dot.x, y: dot.y };
        this.#waiting.push(dot);
      }
    }
  }

  #leave(dot) {
    const at = this.#waiting.indexOf(dot);
    if (at >= 0) this.#waiting.splice(at, 1);
    if (dot.look === "failed") this.#travel(dot, "falling", this.#places.heap(this.#failed++));
    else this.#travel(dot, "gone", this.#places.exit(jitter(dot.id)));
  }

  /** Gives each waiting caller a place: in the database's queue, or around the load of its template. */
  #queueUp({ atOnce, flights }) {
    const { slot } = this.#places;
    // A caller that is answered within the frame was never in a queue.
    if (!this.#shares) {
      const { permits } = this.#scene ?? {};
      this.#waiting.forEach((dot, at) => at < atOnce && Object.assign(dot, { to: slot(at), asks: queryAt(at, permits) }));
      this.#tokens = [];
      return;
    }
    const keys = new Map();
    for (const dot of this.#waiting) {
      if (!keys.has(dot.key)) keys.set(dot.key, 0);
      const nth = keys.get(dot.key);
      keys.set(dot.key, nth + 1);
      if (flights) dot.to = this.#around(this.#cell(dot.key), nth);
    }
    for (const key of this.#cells.keys()) if (!keys.has(key)) this.#cells.delete(key);
    while (this.#tokens.length > atOnce) this.#tokens.shift();
    while (this.#tokens.length < atOnce) {
      const { x, y, w, h } = this.#places.flights;
      this.#tokens.push({ x: x + w / 2, y: y + h / 2 });
    }
    this.#tokens.forEach((token, at) => {
      const to = slot(at);
      token.x += (to.x - token.x) * 0.15;
      token.y += (to.y - token.y) * 0.15;
    });
  }

  get #shares() {
    return this.#scene?.settings[0].endsWith("singleflight");
  }

  #cell(key) {
    if (!this.#cells.has(key)) {
      const taken = new Set(this.#cells.values());
      let free = 0;
      while (taken.has(free)) free += 1;
      this.#cells.set(key, free);
    }
    return this.#cells.get(key);
  }

  #around(cell, nth) {
    const one = this.#scene.keys === 1;
    const { x, y } = this.#centres[cell];
    // As seeds in a sunflower: as dense for ten as for two hundred.
    const radius = (one ? 6.4 : 3.4) * Math.sqrt(nth);
    return { x: x + radius * Math.cos(nth * 2.39996), y: y + radius * Math.sin(nth * 2.39996) };
  }

  /** The middles of as many cells as there are keys: those that are taken first, and grow largest, in the middle. */
  #findCentres() {
    const { x, y, w, h } = this.#places.flights;
    const keys = this.#scene?.keys ?? 1;
    const columns = keys === 1 ? 1 : Math.ceil(Math.sqrt((keys * w) / h));
    const rows = Math.ceil(keys / columns);
    const centres = Array.from({ length: columns * rows }, (_, cell) => ({
      x: x + (w / columns) * ((cell % columns) + 0.5), y: y + (h / rows) * (Math.floor(cell / columns) + 0.5),
    }));
    const far = (one) => Math.hypot((one.x - x - w / 2) / w, (one.y - y - h / 2) / h);
    this.#centres = centres.sort((one, other) => far(one) - far(other));
  }

  /** Draws everything as it is. */
  draw(state) {
    const { width, height } = this.#places;
    this.#context.clearRect(0, 0, width, height);
    const groups = {};
    for (const dot of this.#dots.values()) {
      if (dot.since > this.#clock) continue;
      const look = dot.phase === "coming" ? "asks" : dot.look ?? dot.asks ?? "wait";
      (groups[look] ??= []).push(dot);
    }
    // What falls passes behind the boxes.
    const { failed = [], ...others } = groups;
    this.#drawDots("failed", failed);
    this.#drawPlaces(state);
    for (const [look, dots] of Object.entries(others)) this.#drawDots(look, dots);
    const { permits } = this.#scene ?? {};
    this.#tokens.forEach((token, at) => this.#drawDots(queryAt(at, permits), [token]));
    // Above the dots, or they could not be read.
    for (const label of this.#labels.splice(0)) this.#write(...label);
  }

  #drawDots(look, dots) {
    const { image, side } = this.#marks[look];
    for (const { x, y } of dots) this.#context.drawImage(image, x - side / 2, y - side / 2, side, side);
  }

  /** Each mark is painted once: 500 paths gave 19 frames a second without a graphics card, 500 images give 60. */
  #paintMarks(ratio) {
    for (const [look, shape] of Object.entries(SHAPES)) {
      const r = this.#places.dot;
      const side = Math.ceil(4 * r);
      const image = new OffscreenCanvas(side * ratio, side * ratio);
      const context = image.getContext("2d");
      context.scale(ratio, ratio);
      shape(context, side / 2, side / 2, r);
      context.strokeStyle = context.fillStyle = this.#colours[{ asks: "quiet", queued: "query" }[look] ?? look];
      context.lineWidth = look === "failed" ? 2 : 1.5;
      if (look === "wait" || look === "queued" || look === "failed") context.stroke();
      else context.fill();
      this.#marks[look] = { image, side };
    }
  }

  #drawPlaces(state) {
    const { cache, copies, flights, database, permits, labels } = this.#places;
    const settings = this.#scene?.settings ?? ["", "", ""];
    const hasCopies = !settings[1].endsWith("=0");
    this.#ways();
    this.#box(cache, "cache (Redis)", { cut: state.cacheCut });
    this.#box(copies, "local copies", { off: !hasCopies });
    this.#box(flights, this.#shares && state.flights ? `shared loads: ${state.flights}` : "shared loads", { off: !this.#shares, round: true });
    const { knee = 1, permits: most = 10, query_time_ms: time = 0 } = this.#scene ?? {};
    const running = Math.min(state.atOnce, most);
    const heat = Math.max(0, Math.min(1, (running - knee) / (most - knee)));
    const slow = time * Math.max(1, running / knee);
    const gap = this.#places.wide ? "\n" : " ";
    this.#database(database, heat, state.databaseCut, running ? `${Math.round(slow)} ms a query${gap}(${time} at rest)` : "at rest");
    const context = this.#context;
    context.strokeStyle = this.#colours["edge-strong"];
    context.lineWidth = 1;
    for (const { x, y } of permits) context.strokeRect(x - 7, y - 7, 14, 14);
    this.#label(`${most} queries${gap}at once`, labels.permits);
    const queue = Math.max(0, state.atOnce - most);
    this.#label(queue ? `queue: ${queue}` : "queue", labels.queue);
    this.#label("callers", labels.callers);
    this.#label("answers", labels.answers);
  }

  /** Lines from the cache by the flights to the database. */
  #ways() {
    const context = this.#context;
    const stations = ["cache", "flights", "database"].map((place) => this.#places[place]);
    context.beginPath();
    for (const { x, y, w, h } of stations) context.lineTo(x + w / 2, this.#places.wide ? stations[0].y + stations[0].h / 2 : y + h / 2);
    context.lineWidth = 6;
    context.strokeStyle = this.#colours.edge;
    context.stroke();
  }

  #label(text, place, colour = this.#colours.quiet, strip = this.#colours.surface) {
    this.#labels.push([text, place, colour, strip]);
  }

  /** Lines on a clear strip: dots may be under it. */
  #write(text, { x, y, align = "center" }, colour, strip) {
    const context = this.#context;
    const { font } = this.#places;
    context.font = `${font}px system-ui, sans-serif`;
    context.textAlign = align;
    text.split("\n").forEach((line, nth) => {
      const { actualBoundingBoxLeft: left, actualBoundingBoxRight: right } = context.measureText(line);
      const base = y + nth * font * 1.25;
      context.fillStyle = strip;
      context.fillRect(x - left - 4, base - font, left + right + 8, font * 1.3);
      context.fillStyle = colour;
      context.fillText(line, x, base);
    });
  }

  #box({ x, y, w, h }, name, { cut = false, off = false, round = false }) {
    const context = this.#context;
    context.save();
    if (off) context.globalAlpha = 0.45;
    context.beginPath();
    context.roundRect(x, y, w, h, round ? 22 : 10);
    context.fillStyle = this.#colours.sunken;
    context.fill();
    context.lineWidth = cut ? 2 : 1;
    context.setLineDash(cut || off ? [5, 4] : []);
    context.strokeStyle = this.#colours[cut ? "failed" : "edge-strong"];
    context.stroke();
    context.restore();
    const words = cut ? `${name}: cut` : off ? `${name}: off` : name;
    this.#label(words, { x: x + w / 2, y: y - 8 }, this.#colours[cut ? "failed" : off ? "quiet" : "text"]);
  }

  #database({ x, y, w, h }, heat, cut, words) {
    const context = this.#context;
    const lid = Math.min(14, h / 6);
    context.save();
    context.beginPath();
    context.ellipse(x + w / 2, y + lid, w / 2, lid, 0, Math.PI, 0);
    context.lineTo(x + w, y + h - lid);
    context.ellipse(x + w / 2, y + h - lid, w / 2, lid, 0, 0, Math.PI);
    context.closePath();
    context.fillStyle = this.#colours.sunken;
    context.fill();
    context.globalAlpha = 0.1 + 0.5 * heat;
    context.fillStyle = this.#colours[cut ? "sunken" : heat ? "failed" : "query"];
    context.fill();
    context.globalAlpha = 1;
    context.setLineDash(cut ? [5, 4] : []);
    context.lineWidth = cut ? 2 : 1;
    context.strokeStyle = this.#colours[cut ? "failed" : "edge-strong"];
    context.stroke();
    context.beginPath();
    context.ellipse(x + w / 2, y + lid, w / 2, lid, 0, 0, Math.PI);
    context.stroke();
    context.restore();
    this.#label(cut ? "database: cut" : "database", { x: x + w / 2, y: y - 8 }, this.#colours[cut ? "failed" : "text"]);
    if (!cut) this.#label(words, { x: x + w / 2, y: y + h / 2 + 8 }, this.#colours.text, "transparent");
  }
}

const circle = (context, x, y, r) => {
  context.moveTo(x + r, y);
  context.arc(x, y, r, 0, 2 * Math.PI);
};
const diamond = (context, x, y, r) => {
  const half = r * 1.35;
  context.moveTo(x, y - half);
  context.lineTo(x + half, y);
  context.lineTo(x, y + half);
  context.lineTo(x - half, y);
  context.closePath();
};
const triangle = (context, x, y, r) => {
  context.moveTo(x, y - r * 1.25);
  context.lineTo(x + r * 1.2, y + r);
  context.lineTo(x - r * 1.2, y + r);
  context.closePath();
};
const square = (context, x, y, r) => context.rect(x - r, y - r, 2 * r, 2 * r);
const cross = (context, x, y, r) => {
  context.moveTo(x - r, y - r);
  context.lineTo(x + r, y + r);
  context.moveTo(x + r, y - r);
  context.lineTo(x - r, y + r);
};

const SHAPES = { asks: circle, wait: circle, copy: circle, local: triangle, query: diamond, queued: diamond, stale: square, failed: cross };

/** How the `at`th query of the database is drawn: it runs or waits. */
const queryAt = (at, permits) => (at < permits ? "query" : "queued");

/** Where the `at`th failure lies: in rows from below. Those for which there is no room lie upon the first ones. */
const heapOf = ({ width, height, gap, rows }) => (at) => {
  const perRow = Math.floor((width - 24) / gap);
  const place = at % (perRow * rows);
  return { x: 14 + (place % perRow) * gap, y: height - 9 - Math.floor(place / perRow) * gap };
};

/** A number from 0 to 1 that belongs to `seed`: the same picture for the same run. */
function jitter(seed) {
  const value = Math.sin(seed * 12.9898 + 4.1414) * 43758.5453;
  return value - Math.floor(value);
}

/** Where things stand on a wide screen: callers left, the database right. */
function wide(width, height) {
  const floor = height - 64;
  const box = (x, y, w, h) => ({ x: width * x, y: floor * y, w: width * w, h: floor * h });
  const permit = (at) => ({ x: width * 0.79 + (at % 2) * 20, y: floor * 0.24 + Math.floor(at / 2) * 20 });
  const queue = { right: width * 0.765, top: floor * 0.24, rows: 8, gap: 11 };
  return {
    width, height, wide: true, dot: 3.6, font: 13,
    from: (share) => ({ x: 8, y: floor * (0.1 + 0.36 * share) }),
    exit: (share) => ({ x: 8, y: floor * (0.62 + 0.32 * share) }),
    cache: box(0.15, 0.13, 0.13, 0.3),
    copies: box(0.15, 0.62, 0.13, 0.3),
    flights: box(0.36, 0.13, 0.22, 0.79),
    database: box(0.86, 0.15, 0.12, 0.6),
    permits: Array.from({ length: 10 }, (_, at) => permit(at)),
    slot: (at) => at < 10 ? permit(at) : {
      x: queue.right - Math.floor((at - 10) / queue.rows) * queue.gap,
      y: queue.top + ((at - 10) % queue.rows) * queue.gap,
    },
    heap: heapOf({ width, height, gap: 9, rows: 6 }),
    labels: {
      callers: { x: 8, y: floor * 0.06, align: "left" },
      answers: { x: 8, y: floor * 0.58, align: "left" },
      queue: { x: width * 0.765, y: floor * 0.15, align: "right" },
      permits: { x: width * 0.79 + 10, y: floor * 0.24 + 112 },
    },
  };
}

/** The same on a phone: callers above, the database below. */
function tall(width, height) {
  const floor = height - 72;
  const box = (x, y, w, h) => ({ x: width * x, y: floor * y, w: width * w, h: floor * h });
  const permit = (at) => ({ x: width * 0.5 - 90 + at * 20, y: floor * 0.77 });
  const perRow = Math.floor((width - 16) / 9);
  return {
    width, height, dot: 2.8, font: 12,
    from: (share) => ({ x: width * (0.05 + 0.4 * share), y: 6 }),
    exit: (share) => ({ x: width * (0.55 + 0.4 * share), y: 6 }),
    cache: box(0.06, 0.15, 0.4, 0.1),
    copies: box(0.54, 0.15, 0.4, 0.1),
    flights: box(0.06, 0.34, 0.88, 0.23),
    database: box(0.2, 0.86, 0.6, 0.14),
    permits: Array.from({ length: 10 }, (_, at) => permit(at)),
    slot: (at) => at < 10 ? permit(at) : {
      x: width * 0.5 + (((at - 10) % perRow) - (perRow - 1) / 2) * 9,
      y: floor * 0.73 - Math.floor((at - 10) / perRow) * 9,
    },
    heap: heapOf({ width, height, gap: 7, rows: 8 }),
    labels: {
      callers: { x: 4, y: floor * 0.075, align: "left" },
      answers: { x: width - 4, y: floor * 0.075, align: "right" },
      queue: { x: width * 0.06, y: floor * 0.62, align: "left" },
      permits: { x: width * 0.94, y: floor * 0.62, align: "right" },
    },
  };
}
