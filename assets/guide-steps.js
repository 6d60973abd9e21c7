// The story's steps in words: one idea each, and the one control that is new in it.

// The places of `template_responses_total`'s sources, and how an answer from there is drawn.
export const LOOKS = ["copy", "copy", "local", "query", "query", "stale", "query", "failed", "failed"];

export const STEPS = [
  {
    name: "cached",
    title: "It works",
    words: "400 requests a second want the same template, which is one row of the database. The cache answers them all, and the database rests.",
    without: "Without the cache, every request asks the database. It runs ten queries at a time; the rest wait, and most of them fail.",
    control: ["with the cache", "without the cache"],
  },
  {
    name: "expiry",
    title: "It expires",
    words: "The cached template expires, and every caller asks the database. It runs ten queries at a time; the rest wait, and many fail: a cache stampede.",
    without: "While the template is cached, nobody asks the database.",
    control: ["with the expiry", "without the expiry"],
  },
  {
    name: "singleflight",
    title: "Singleflight",
    words: "The first caller asks the database. All the others wait for its answer. One query, and nothing fails.",
    without: "Without singleflight, every caller asks. The database runs ten queries at a time; the rest wait, and many fail.",
    control: ["with singleflight", "without singleflight"],
  },
  {
    name: "cache-cut",
    title: "Redis is gone",
    words: "Redis is gone: no answer is kept, so each of 50 templates is queried again and again. Too many, and requests fail. Singleflight alone is not enough.",
    without: "As long as Redis keeps the answers, each template is queried only when it expires, and nothing fails.",
    control: ["without Redis", "with Redis"],
    still: 0.8,
  },
  {
    name: "local-copies",
    title: "Local copies",
    words: "Each process also keeps a copy of what it has read. Redis is still gone, but a template is queried only when its copy expires, and nothing fails.",
    without: "Without local copies, it fails as before.",
    control: ["with local copies", "without local copies"],
    still: 0.7,
  },
  {
    name: "database-cut",
    title: "Both are gone",
    words: "Redis and the database are gone. The last copies still answer, and those past their time are marked as stale. Nothing fails.",
    without: "As long as the database is there, copies are renewed in time.",
    control: ["without the database", "with the database"],
    still: 0.9,
  },
  {
    name: "everything",
    title: "Your turn",
    words: "Everything is on, and nothing has expired. Break it yourself.",
    recorded: "Everything is on, and all is well. Start it yourself: cargo run --release, then open http://127.0.0.1:8080 and break it.",
    control: null,
    still: 0.6,
  },
];

// The switches of the last step: what the service is asked for, and what is written on them.
export const BY_HAND = [
  ["singleflight", "Singleflight", "on", "off"],
  ["local_copies", "Local copies", "on", "off"],
  ["cache", "Redis", "up", "cut"],
  ["database", "Database", "up", "cut"],
];
