"use strict";
// What a program writes is hostile: it only ever becomes text, never markup.

const EXAMPLES = {
  "Prints over time": `import time
for second in range(10):
    print("second", second, flush=True)
    time.sleep(1)`,
  "Never ends": `while True:
    pass`,
  "Hostile output": `print("\\x1b[2J\\x1b]0;owned\\x07 clears a terminal and renames its window")
print("<script>document.title = 'owned'</script><img src=x onerror=alert(1)>")
print("\\n\\nevent: evaluation.completed\\ndata: {\\"outcome\\": \\"exited\\"}\\n\\n")
print("access = '\\u202etseug\\u2066' is read from right to left")`,
  "Prints for ever": `while True:
    print("x" * 79)`,
  "Fails": `import sys
print("this is standard output", flush=True)
print("this is standard error", file=sys.stderr)
sys.exit(3)`,
};
const FINAL = ["evaluation.completed", "evaluation.failed", "evaluation.cancelled"];
const KINDS = ["evaluation.queued", "evaluation.started", "evaluation.progress",
  "resource.limit_exceeded", "security.violation", "stream.missed", ...FINAL];

const $ = id => document.getElementById(id);
// What the page shows: the id, the event source, when it began, and what is not on the page yet.
let view = null;

async function call(method, path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (!response.ok) {
    const faults = (answer.errors || []).map(it => `${it.pointer}: ${it.detail}`);
    throw new Error([answer.detail, ...faults].join("; "));
  }
  return answer;
}

async function run() {
  const seconds = $("timeout").valueAsNumber;
  const body = { code: $("code").value };
  if (!Number.isNaN(seconds)) body.timeout_seconds = seconds;
  follow((await call("POST", "/eval", body)).id);
}

function follow(id) {
  if (view) view.source.close();
  $("output").replaceChildren();
  $("events").replaceChildren();
  $("cancel").disabled = false;
  history.replaceState(null, "", `#${id}`); // a reload follows the same evaluation
  const source = new EventSource(`/eval/${id}/events`);
  const decoders = { stdout: new TextDecoder(), stderr: new TextDecoder() };
  view = { id, source, decoders, began: null, missed: false, pending: [] };
  for (const kind of KINDS) source.addEventListener(kind, event => take(JSON.parse(event.data)));
  // A browser connects again by itself, and says which event it had last.
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) state("the stream ended too early");
    else state("the connection was lost; trying again");
  };
}

function take({ type, time, data }) {
  const at = Date.parse(time);
  view.began ??= at;
  note(type, (at - view.began) / 1000, data);
  if (type === "evaluation.progress") return print(data.stream, bytes(data));
  if (type === "stream.missed") view.missed = true;
  if (type === "evaluation.queued") state("queued");
  if (type === "evaluation.started") state("running");
  if (FINAL.includes(type)) end(type.split(".")[1], data);
}

async function end(status, { outcome, exit_code, signal, usage, error }) {
  view.source.close();
  $("cancel").disabled = true;
  const wall = usage && `${usage.wall_ms} ms`;
  const how = exit_code == null ? outcome : `${outcome} with code ${exit_code}`;
  const facts = new Set([status, how, signal, wall, error].filter(Boolean));
  state([...facts].join(", "));
  look().catch(complain);
  if (!view.missed) return;
  // The stream could not give all of the output any more; the evaluation has it.
  const { stdout, stderr } = await call("GET", `/eval/${view.id}`);
  $("output").replaceChildren();
  view.pending = [];
  print("stdout", bytes(stdout));
  print("stderr", bytes(stderr));
}

/// The bytes of a text in one of the two encodings. They are decoded later, over all chunks, since
/// a chunk may end in the middle of a character.
function bytes({ text, encoding }) {
  if (encoding === "base64") return Uint8Array.from(atob(text), c => c.charCodeAt(0));
  return new TextEncoder().encode(text);
}

function print(stream, chunk) {
  const text = view.decoders[stream].decode(chunk, { stream: true });
  if (view.pending.push([stream, harmless(text)]) === 1) requestAnimationFrame(flush);
}

// Once for each picture, however many chunks came: a flood must not freeze the page.
function flush() {
  for (const [stream, text] of view.pending) {
    let span = $("output").lastElementChild;
    if (!span || span.className !== stream) {
      span = document.createElement("span");
      span.className = stream;
      $("output").append(span);
    }
    span.append(text);
  }
  view.pending = [];
  $("output").scrollTop = $("output").scrollHeight;
}

/// Shows control characters, and those that hide or turn round what follows, by their number.
function harmless(text) {
  const hostile = /[\0-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]/g;
  return text.replace(hostile, c => `[${c.charCodeAt(0).toString(16).padStart(4, "0")}]`);
}

function note(type, seconds, data) {
  let line = $("events").lastElementChild;
  if (type === "evaluation.progress" && line && line.dataset.count) {
    line.dataset.count = Number(line.dataset.count) + 1;
    line.textContent = `${type}, ${line.dataset.count} times`;
    return;
  }
  line = document.createElement("li");
  line.textContent = `${type} after ${seconds.toFixed(3)} s`;
  if (type === "evaluation.progress") line.dataset.count = 1;
  if (type === "resource.limit_exceeded") line.textContent += `: ${data.outcome}`;
  if (type === "stream.missed") {
    line.textContent = `${type}: events ${data.from} to ${data.to}`;
    line.className = "missed";
  }
  $("events").append(line);
  $("events").scrollTop = $("events").scrollHeight;
}

function state(text) { $("state").textContent = text }
function complain(error) { state(error.message) }

async function look() {
  const { depth, capacity, workers, workers_busy } = await call("GET", "/queue");
  Object.assign($("depth"), { max: capacity, value: depth });
  Object.assign($("busy"), { max: workers, value: workers_busy });
  $("waiting").textContent = `${depth} of ${capacity} places`;
  $("working").textContent = `${workers_busy} of ${workers}`;
}

for (const name of Object.keys(EXAMPLES)) $("example").add(new Option(name));
$("example").onchange = () => { $("code").value = EXAMPLES[$("example").value] };
if (!$("code").value) $("example").onchange();
$("form").onsubmit = event => {
  event.preventDefault();
  run().catch(complain);
};
$("code").onkeydown = event => {
  if (event.ctrlKey && event.key === "Enter") $("form").requestSubmit();
};
$("cancel").onclick = () => call("DELETE", `/eval/${view.id}`).catch(complain);
if (location.hash) follow(location.hash.slice(1));
look().catch(complain);
setInterval(() => document.hidden || look().catch(complain), 2000);
