// How numbers are written: grouped, with their unit, and with no more digits than mean something.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });

export const NOTHING = "–";

const known = (number) => typeof number === "number" && Number.isFinite(number);

/** 12,345, and 4.5 where a fraction matters. */
export function count(number) {
  if (!known(number)) return NOTHING;
  return (Math.abs(number) < 100 ? tenths : whole).format(number);
}

/** 0.4 ms, 131 ms, 12.5 s. */
export function milliseconds(ms) {
  if (!known(ms)) return NOTHING;
  // What is shown to a tenth is never nothing: somebody waited.
  if (ms < 0.05) return "< 0.1 ms";
  if (ms >= 10000) return `${tenths.format(ms / 1000)} s`;
  return `${(ms < 10 ? tenths : whole).format(ms)} ms`;
}

/** 0.4 s ago, 40.0 s ago, then 2 min 5 s ago. */
export function ago(ms) {
  return ms < 60000 ? `${(ms / 1000).toFixed(1)} s ago` : `${duration(ms)} ago`;
}

/** 40 s, 2 min 5 s. */
export function duration(ms) {
  if (!known(ms)) return NOTHING;
  const seconds = Math.round(ms / 1000);
  if (seconds < 60) return `${seconds} s`;
  return seconds % 60 ? `${Math.floor(seconds / 60)} min ${seconds % 60} s` : `${seconds / 60} min`;
}

/** Words of the service as a sentence. */
export function sentence(words) {
  const text = String(words ?? "").trim();
  return text && `${text[0].toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
}

/** "1 query", "2 queries". */
export function counted(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}
