// The story's steps in words: one idea each, and the one control that is new in it.

// The places of `template_responses_total`'s sources, and how an answer from there is drawn.
export const LOOKS = ["copy", "copy", "local", "query", "query", "stale", "query", "failed", "failed"];

export const STEPS = [
  {
    name: "cached",
    title: "It works",
    words: "400 requests a second want the same page. The cache answers them all, and the database rests.",
    without: "Without the cache, every request is a query. The database drowns.",
    control: ["The cache", "on", "cut"],
  },
  {
    name: "expiry",
    title: "It expires",
    words: "The cached page expires. Until it is back, all callers ask the database at once. It slows down, its queue fills, and requests fail: a cache stampede.",
    without: "While the page is cached, nobody asks the database.",
    control: ["The cached page", "expires", "stays"],
  },
  {
    name: "singleflight",
    title: "Singleflight",
    words: "The first caller asks the database. All the others wait for its answer. One query, and nothing fails.",
    without: "Without singleflight, each of them asks.",
    control: ["Singleflight", "on", "off"],
  },
  {
    name: "cache-cut",
    title: "Redis is gone",
    words: "Redis is gone: no answer is kept, so each of 50 pages is queried again and again. Too many, and requests fail. Singleflight alone is not enough.",
    without: "As long as Redis keeps the answers, 50 pages are no trouble.",
    control: ["Redis", "cut", "up"],
    still: 0.8,
  },
  {
    name: "local-copies",
    title: "Local copies",
    words: "Each process also keeps what it last read. Redis is still gone, but few requests need a query now, and nothing fails.",
    without: "Without local copies, it fails as before.",
    control: ["Local copies", "on", "off"],
    still: 0.7,
  },
  {
    name: "database-cut",
    title: "Both are gone",
    words: "Redis and the database are gone. The last copies still answer, and those past their time are marked as stale. Nothing fails.",
    without: "As long as the database is there, copies are renewed in time.",
    control: ["The database", "cut", "up"],
    still: 0.9,
  },
  {
    name: "everything",
    title: "Your turn",
    words: "Everything is on. Break it yourself.",
    recorded: "Everything is on, and all is well. To break it yourself, start the service and open its page.",
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
