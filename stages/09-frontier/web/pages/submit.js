// A program, and what it is to be run with.

import { html, useEffect, useState } from "/web/lib/ui.js";
import { curl } from "/web/lib/curl.js";
import { Editor } from "/web/lib/editor.js";
import { EXAMPLES } from "/web/lib/examples.js";
import { size } from "/web/lib/format.js";
import { CopyButton, Failure, useLoaded } from "/web/lib/parts.js";
import { loadDraft, saveDraft, submitted } from "/web/lib/programs.js";
import { go, href } from "/web/lib/router.js";
import { bounds, environments, submit } from "/web/lib/submission.js";
import { visibleName } from "/web/lib/text.js";

const MEBIBYTE = 1 << 20;
const EMPTY = { code: EXAMPLES["Says hello"], environment: "", timeout: "", memory: "", stdin: "", labels: "", priority: "", attempts: "" };

// Lines of `key: value` as an object. A line without a colon is an error.
function parseLabels(text) {
  const labels = {};
  for (const line of text.split("\n").map(line => line.trim()).filter(Boolean)) {
    const [, name, value] = line.match(/^([^:]+):\s*(.*)$/) ?? [];
    if (!name) throw new Error(`labels: "${line}" is not of the form key: value`);
    labels[name.trim()] = value;
  }
  return labels;
}

function submissionOf(draft) {
  const labels = parseLabels(draft.labels);
  return {
    code: draft.code,
    ...(draft.environment && { environment: draft.environment }),
    ...(draft.timeout && { timeout_seconds: Number(draft.timeout) }),
    ...(draft.memory && { memory_bytes: Math.round(Number(draft.memory) * MEBIBYTE) }),
    ...(draft.stdin && { stdin: draft.stdin }),
    ...(Object.keys(labels).length && { labels }),
    ...(draft.priority && { priority: draft.priority }),
    ...(draft.attempts && { max_attempts: Number(draft.attempts) }),
  };
}

// The other way round, for a program that is to be edited. Files and bytes are not edited here.
const draftOf = ({ code, environment, timeout_seconds, memory_bytes, stdin, labels, priority, max_attempts }) => ({
  ...EMPTY, code, environment: environment ?? "", timeout: timeout_seconds ?? "",
  memory: memory_bytes ? memory_bytes / MEBIBYTE : "", stdin: typeof stdin === "string" ? stdin : "",
  labels: Object.entries(labels ?? {}).map(([name, value]) => `${name}: ${value}`).join("\n"),
  priority: priority ?? "", attempts: max_attempts ?? "",
});

export default function Page({ route }) {
  const from = route.query.get("from");
  const [draft, set] = useState(() => ({ ...EMPTY, ...loadDraft() }));
  const [text, setText] = useState(draft.code);
  const [error, fail] = useState(null);
  const [isBusy, setBusy] = useState(false);
  useEffect(() => saveDraft(draft), [draft]);
  useEffect(() => {
    if (!from) return undefined;
    const stop = new AbortController();
    submitted(from, stop.signal).then(earlier => {
      if (!earlier || stop.signal.aborted) return;
      set(draftOf(earlier));
      setText(earlier.code);
    }, error => stop.signal.aborted || fail(error));
    return () => stop.abort();
  }, [from]);
  const change = name => event => set(old => ({ ...old, [name]: event.target.value }));
  const run = async () => {
    if (isBusy) return;
    setBusy(true);
    fail(null);
    try {
      go(href("eval", await submit(submissionOf(draft))));
    } catch (error) {
      fail(error);
      setBusy(false);
    }
  };
  const command = () => {
    try { return curl("POST", "/eval", submissionOf(draft)); } catch (error) { fail(error); return ""; }
  };
  return html`<form class="submit" onSubmit=${event => { event.preventDefault(); run(); }}>
    <div class="program">
      <div class="row"><label>Example <select onChange=${event => {
          const code = EXAMPLES[event.target.value];
          if (code) { setText(code); set(old => ({ ...old, code })); }
        }}><option value="">—</option>${Object.keys(EXAMPLES).map(name => html`<option key=${name}>${name}</option>`)}</select></label></div>
      <${Editor} text=${text} label="Program" describedBy="keys" onRun=${run}
        onChange=${code => set(old => ({ ...old, code }))} />
      <p id="keys" class="faint">Ctrl+Enter runs it. Tab indents; Escape, then Tab, leaves the editor.</p>
    </div>
    <${Options} draft=${draft} change=${change} />
    <div class="run">
      <${Failure} error=${error} />
      <div class="row"><button class="primary" disabled=${isBusy}>${isBusy ? "Submitting…" : "Run"}</button>
      <span><${CopyButton} text=${command}>Copy as curl<//></span></div>
    </div></form>`;
}

// The limits, within the bounds that the contract of this server has.
function Options({ draft, change }) {
  const { value: schema = {} } = useLoaded(bounds, []);
  const { value: rooms = [], error } = useLoaded(environments, []);
  const { timeout_seconds: time = {}, memory_bytes: memory = {}, priority, max_attempts: attempts } = schema;
  const chosen = rooms.find(({ name }) => name === draft.environment);
  const most = chosen?.limits?.max_memory_bytes ?? memory.maximum;
  const usual = chosen?.limits?.memory_bytes ?? memory.default;
  return html`<fieldset><legend>Run with</legend><div class="options">
    ${rooms.length > 0 && html`<label>Environment <select value=${draft.environment} onChange=${change("environment")}>
      <option value="">the default one</option>${rooms.map(({ name, state }) => html`<option key=${name} value=${name}
        disabled=${state === "missing"}>${visibleName(name)}${state === "missing" && " (not built)"}</option>`)}
      </select>${chosen?.description && html`<small>${visibleName(chosen.description)}</small>`}</label>`}
    <${Failure} error=${error} />
    <label>Wall-clock time, in seconds <input type="number" step="any" min=${time.minimum} max=${time.maximum}
      placeholder=${time.default ?? ""} value=${draft.timeout} onInput=${change("timeout")} /></label>
    <label>Memory, in MiB <input type="number" step="any" min=${memory.minimum && memory.minimum / MEBIBYTE}
      max=${most && most / MEBIBYTE} placeholder=${usual ? usual / MEBIBYTE : ""}
      value=${draft.memory} onInput=${change("memory")} />${most && html`<small>at most ${size(most)}</small>`}</label>
    <label>Labels, a line each <textarea rows="2" placeholder="model: m-1" value=${draft.labels} onInput=${change("labels")}></textarea></label>
    <details open=${Boolean(draft.stdin || draft.priority || draft.attempts)}><summary>More</summary><div class="options">
      <label>Standard input <textarea rows="3" class="code" value=${draft.stdin} onInput=${change("stdin")}></textarea></label>
      ${priority && html`<label>Priority <select value=${draft.priority} onChange=${change("priority")}>
        <option value="">normal</option><option value="high">high</option><option value="low">low</option></select></label>`}
      ${attempts && html`<label>Attempts, if its worker is lost <input type="number" min=${attempts.minimum} max=${attempts.maximum}
        placeholder=${attempts.default ?? 1} value=${draft.attempts} onInput=${change("attempts")} /></label>`}
    </div></details></div></fieldset>`;
}
