// The one way to the service: this page's token, JSON in both directions, and every failure as a Problem in words.

const bytes = crypto.getRandomValues(new Uint8Array(12));
const TOKEN = Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
const PATIENCE_MS = 15000;

/** What went wrong with a request; `status` is 0 if there was no answer at all. */
export class Problem extends Error {
  constructor(status, words) {
    super(words);
    this.name = "Problem";
    this.status = status;
  }
}

/** Sends a request and returns the answer's JSON, or throws a Problem. `leaving`: the page need not stay to see it sent. */
export async function ask(method, path, body, { leaving = false } = {}) {
  const headers = { "x-stampede-lab": TOKEN };
  if (body !== undefined) headers["content-type"] = "application/json";
  const options = { method, headers, keepalive: leaving, signal: AbortSignal.timeout(PATIENCE_MS) };
  if (body !== undefined) options.body = JSON.stringify(body);
  let answer, text;
  try {
    answer = await fetch(path, options);
    text = await answer.text();
  } catch (error) {
    throw new Problem(0, inWords(error));
  }
  const json = parsed(text);
  if (!answer.ok) throw new Problem(answer.status, refusal(answer.status, json));
  if (json === undefined) throw new Problem(answer.status, `${method} ${path} was answered with something that is not JSON.`);
  return json;
}

/** Sends a request and yields the answer's lines of JSON as they come, until `signal` or the service ends it. */
export async function* askLines(path, body, signal) {
  const headers = { "x-stampede-lab": TOKEN, "content-type": "application/json" };
  let rest = "";
  try {
    const answer = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (!answer.ok) throw new Problem(answer.status, refusal(answer.status, parsed(await answer.text())));
    for await (const text of pieces(answer.body.pipeThrough(new TextDecoderStream()).getReader())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop();
      for (const line of lines) yield JSON.parse(line);
    }
  } catch (error) {
    if (error.name === "Problem" || error.name === "AbortError") throw error;
    throw new Problem(0, inWords(error));
  }
}

async function* pieces(reader) {
  for (let piece = await reader.read(); !piece.done; piece = await reader.read()) yield piece.value;
}

function inWords(error) {
  if (error.name === "TimeoutError") return `The service has not answered for ${PATIENCE_MS / 1000} seconds.`;
  return "The service does not answer. Is it still running?";
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function refusal(status, json) {
  const detail = json?.detail || json?.title;
  return detail ? `The service refused (${status}): ${detail}` : `The service answered with status ${status}.`;
}
