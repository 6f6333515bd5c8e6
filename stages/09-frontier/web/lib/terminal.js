// Commands in a sandbox that stays: each is an execution of its own, whose output is read while it runs.

import { call, Problem, send } from "./api.js";

// How long one request waits for more output, in seconds.
const WAIT_SECONDS = 20;

// The path of a sandbox, or of something of it.
export const path = (id, ...parts) => `/sandboxes/${[id, ...parts].map(encodeURIComponent).join("/")}`;

const newId = () => `web-${[...crypto.getRandomValues(new Uint8Array(8))].map(byte => byte.toString(16).padStart(2, "0")).join("")}`;

// One output from its beginning to its end: `take(text)` gets each part.
async function read(address, signal, take) {
  const decoder = new TextDecoder();
  for (let offset = "0", ended = false; !ended;) {
    const response = await send(`${address}?offset=${offset}&wait_seconds=${WAIT_SECONDS}`, { signal });
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null), response.headers);
    const next = response.headers.get("x-next-offset") ?? offset;
    const bytes = await response.arrayBuffer();
    ended = response.headers.get("x-ended") === "true" && next === offset;
    offset = next;
    if (bytes.byteLength) take(decoder.decode(bytes, { stream: true }));
  }
}

// Runs a line with the sandbox's shell. `onStart(id)` gets the id of the execution, `onText(text, stream)` what it prints. The
// result is the execution that has ended.
export async function run(sandbox, line, { signal, user, onStart, onText }) {
  const id = newId();
  const body = { argv: ["/bin/sh", "-c", line], detach: true, keep: "head", ...(user && { user }) };
  await call("PUT", path(sandbox, "execs", id), { body, signal });
  onStart(id);
  await Promise.all(["stdout", "stderr"].map(stream => read(path(sandbox, "execs", id, stream), signal, text => onText(text, stream))));
  return call("GET", path(sandbox, "execs", id), { query: { wait_seconds: WAIT_SECONDS }, signal });
}

// How an execution ended, in words.
export const ending = ({ outcome, exit_code, signal, errno, status }) =>
  outcome ? [outcome, exit_code ?? signal ?? errno].filter(it => it != null).join(" ") : status;
