// Server-Sent Events through `fetch`, because a browser's own EventSource sends no key. It goes on where it was, by
// the number of the last event, and says when it is not connected.

import { Problem, send } from "./api.js";

// The server sends a comment at least every 15 seconds. A connection on which nothing comes is lost.
const SILENCE_TIMEOUT = 40_000;
const RETRY_DELAYS = [500, 1000, 2000, 5000];

const wait = (milliseconds, signal) => new Promise((done, stop) => {
  const timer = setTimeout(done, milliseconds);
  signal.addEventListener("abort", () => { clearTimeout(timer); stop(signal.reason); }, { once: true });
});

// Calls `onEvent({ type, id, data })` for each event, and `onState` with "connecting", "live", "lost" (it tries
// again) or "ended". Ends when `isLast(event)` is true for one, the signal is aborted, or the server says that there
// is nothing to follow; that is thrown.
export async function follow(path, { onEvent, onState, isLast = () => false, lastId = null, signal }) {
  const position = { id: lastId, isEnded: false };
  const take = event => {
    if (event.id !== undefined) position.id = event.id;
    if (event.data === "") return;
    onEvent(event);
    position.isEnded ||= isLast(event);
  };
  for (let failures = 0; !position.isEnded; failures += 1) {
    onState(failures ? "lost" : "connecting");
    try {
      if (failures) await wait(RETRY_DELAYS[Math.min(failures, RETRY_DELAYS.length) - 1], signal);
      await connect(path, position, { take, signal, onOpen: () => { failures = 0; onState("live"); } });
    } catch (error) {
      if (signal.aborted) return;
      // Too many streams, a server that starts, a proxy without one: later. Anything else stays as it is.
      if (error.status >= 400 && ![408, 429, 502, 503, 504].includes(error.status)) throw error;
    }
  }
  onState("ended");
}

async function connect(path, position, { take, signal, onOpen }) {
  const silence = new AbortController();
  let timer = null;
  const heard = () => { clearTimeout(timer); timer = setTimeout(() => silence.abort(), SILENCE_TIMEOUT); };
  heard();
  try {
    const response = await send(path, {
      headers: { Accept: "text/event-stream", ...(position.id !== null && { "Last-Event-ID": position.id }) },
      signal: AbortSignal.any([signal, silence.signal]),
    });
    if (response.status === 204) { position.isEnded = true; return; }
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null), response.headers);
    onOpen();
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    for (let rest = ""; !position.isEnded;) {
      const { value, done } = await reader.read();
      if (done) return;
      heard();
      const blocks = (rest + value).split("\n\n");
      rest = blocks.pop();
      for (const block of blocks) take(parse(block));
    }
    await reader.cancel();
  } finally {
    clearTimeout(timer);
  }
}

function parse(block) {
  const event = { type: "message", data: [] };
  for (const line of block.split("\n")) {
    const [, name, value] = line.match(/^(event|data|id): ?(.*)$/) ?? [];
    if (name === "data") event.data.push(value);
    else if (name) event[name === "event" ? "type" : "id"] = value;
  }
  return { ...event, data: event.data.join("\n") };
}
