// Two evaluations beside each other: what differs, and their output line by line. Both ids are in the address. The
// program of the first can be run in two environments, which makes two more that are compared then.

import { html, useEffect, useMemo, useRef, useState } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { lineDiff } from "/web/lib/diff.js";
import { duration, size } from "/web/lib/format.js";
import { Failure, Labels, Status, Time, useLoaded } from "/web/lib/parts.js";
import { submitted } from "/web/lib/programs.js";
import { href, setQuery } from "/web/lib/router.js";
import { environments, runInBoth } from "/web/lib/submission.js";
import { decoded, visible, visibleName } from "/web/lib/text.js";

const MAX_CHARACTERS = 1 << 20;
const CONTEXT = 3;
const MAX_ROWS = 1000;
const POLL_INTERVAL = 1000;

function Choose({ a, b }) {
  const [left, right] = [useRef(null), useRef(null)];
  return html`<form class="row" aria-label="What is compared" onSubmit=${event => {
      event.preventDefault();
      setQuery({ a: left.current.value.trim(), b: right.current.value.trim() }, {});
    }}>
    <label>First id <input ref=${left} name="a" class="code" value=${a} key=${`a${a}`} size="36" spellcheck=${false} required /></label>
    <label>Second id <input ref=${right} name="b" class="code" value=${b} key=${`b${b}`} size="36" spellcheck=${false} required /></label>
    <button class="primary">Compare</button>
    <button type="button" disabled=${!a || !b} onClick=${() => setQuery({ a: b, b: a })}>Exchange</button></form>`;
}

// Runs the program of an evaluation in two environments.
function RunElsewhere({ id }) {
  const load = signal => Promise.all([submitted(id, signal), environments(signal)]);
  const { value, error } = useLoaded(load, [id]);
  const [chosen, choose] = useState({});
  const [failure, fail] = useState(null);
  const [isBusy, setBusy] = useState(false);
  if (error) return html`<${Failure} error=${error} />`;
  const [program, all] = value ?? [];
  const ready = all?.filter(({ state }) => state !== "missing") ?? [];
  if (!program || ready.length === 0) return null;
  const first = chosen.first ?? program.environment;
  const second = chosen.second ?? (ready.find(({ name }) => name !== program.environment) ?? ready[0]).name;
  const run = async event => {
    event.preventDefault();
    setBusy(true);
    fail(null);
    try {
      const [a, b] = await runInBoth(program, [first, second]);
      setQuery({ a, b }, {});
    } catch (error) { fail(error); }
    setBusy(false);
  };
  const select = (label, name, value) => html`<label>${label} <select name=${name} value=${value}
    onChange=${event => choose(old => ({ ...old, [name]: event.target.value }))}>
    ${ready.map(({ name }) => html`<option key=${name} value=${name}>${visibleName(name)}</option>`)}</select></label>`;
  return html`<form class="row" aria-label="Run it in two environments" onSubmit=${run}>
    ${select("First environment", "first", first)} ${select("Second environment", "second", second)}
    <button disabled=${isBusy}>${isBusy ? "Submitting…" : "Run the first program in both"}</button>
    <${Failure} error=${failure} /></form>`;
}

const FIELDS = [
  ["status", ({ status }) => status],
  ["outcome", ({ outcome }) => outcome ?? "—"],
  ["exit code", ({ exit_code }) => exit_code ?? "—"],
  ["signal", ({ signal }) => signal ?? "—"],
  ["decided by", ({ evidence }) => evidence?.decided_by ?? "—"],
  ["wall-clock time", ({ usage }) => usage ? duration(usage.wall_ms) : "—"],
  ["processor time", ({ usage }) => usage ? duration(usage.cpu_ms) : "—"],
  ["memory, at most", ({ usage }) => usage?.memory_peak_bytes == null ? "—" : size(usage.memory_peak_bytes)],
  ["waited", ({ timing }) => timing.queue_wait_ms == null ? "—" : duration(timing.queue_wait_ms)],
  ["standard output", ({ stdout }) => size(stdout.bytes_total)],
  ["standard error", ({ stderr }) => size(stderr.bytes_total)],
  ["attempt", ({ attempt }) => attempt],
  ["files of its environment", ({ sandbox }) => sandbox.image_digest?.slice(0, 19) ?? "—"],
  ["engine", ({ sandbox }) => [sandbox.engine, sandbox.runtime].filter(Boolean).join("/")],
  ["time limit", ({ limits }) => `${limits.timeout_seconds} s`],
  ["memory limit", ({ limits }) => size(limits.memory_bytes)],
];

function Fields({ one, other }) {
  const rows = FIELDS.map(([name, value]) => [name, String(value(one)), String(value(other))]);
  const head = evaluation => html`<th scope="col"><a class="code" href=${href("eval", evaluation.id)}>${evaluation.id}</a></th>`;
  return html`<div class="scroll"><table><caption class="hidden">What is the same, and what is not</caption>
    <thead><tr><th scope="col">Field</th>${head(one)}${head(other)}<th scope="col">Same</th></tr></thead>
    <tbody>
      <tr><th scope="row">result</th><td><${Status} of=${one} /></td><td><${Status} of=${other} /></td><td></td></tr>
      <tr><th scope="row">submitted</th><td><${Time} at=${one.timing.submitted_at} /></td><td><${Time} at=${other.timing.submitted_at} /></td><td></td></tr>
      <tr><th scope="row">labels</th><td><${Labels} labels=${one.labels} /></td><td><${Labels} labels=${other.labels} /></td><td></td></tr>
      ${rows.map(([name, left, right]) => html`<tr key=${name} class=${left === right ? "" : "differs"}>
        <th scope="row">${name}</th><td>${visibleName(left)}</td><td>${visibleName(right)}</td>
        <td>${left === right ? "same" : "differs"}</td></tr>`)}</tbody></table></div>`;
}

// Rows with what is around each difference; what is left out in between is a number.
function folded(rows) {
  const isNear = rows.map(() => false);
  rows.forEach(({ change }, at) => {
    if (change === "same") return;
    for (let near = Math.max(0, at - CONTEXT); near <= Math.min(rows.length - 1, at + CONTEXT); near += 1) isNear[near] = true;
  });
  const shown = [];
  rows.forEach((row, at) => {
    if (isNear[at]) shown.push(row);
    else if (shown.at(-1)?.skipped) shown.at(-1).skipped += 1;
    else shown.push({ skipped: 1 });
  });
  return shown;
}

const MARKS = { same: " ", removed: "−", added: "+" };
const NAMES = { same: "in both", removed: "only in the first", added: "only in the second" };

function Diff({ name, left, right }) {
  const [isWhole, showWhole] = useState(false);
  const rows = useMemo(() => {
    const text = output => visible(decoded(output).slice(0, MAX_CHARACTERS));
    return lineDiff(text(left), text(right));
  }, [left, right]);
  const count = change => rows.filter(row => row.change === change).length;
  const isSame = count("same") === rows.length;
  const shown = (isWhole || rows.length <= 40 ? rows : folded(rows)).slice(0, isWhole ? undefined : MAX_ROWS);
  if (!left.bytes_total && !right.bytes_total) return html`<h2>${name}</h2><p class="faint">Nothing in either.</p>`;
  return html`<section aria-label=${name}><h2>${name} <small>${isSame ? "the same"
      : `${count("removed")} lines only in the first, ${count("added")} only in the second`}</small></h2>
    <div class="scroll diff" tabindex="0" role="region" aria-label=${`${name}, line by line`}><table>
      <thead class="hidden"><tr><th scope="col">Line of the first</th><th scope="col">Line of the second</th><th scope="col">Where</th><th scope="col">Text</th></tr></thead>
      <tbody>${shown.map((row, at) => row.skipped
        ? html`<tr key=${at}><td colspan="4" class="faint">${row.skipped} lines that are the same</td></tr>`
        : html`<tr key=${at} data-change=${row.change}><td class="number">${row.left}</td><td class="number">${row.right}</td>
          <td><span aria-hidden="true">${MARKS[row.change]}</span><span class="hidden">${NAMES[row.change]}</span></td><td class="code">${row.text}</td></tr>`)}
      </tbody></table></div>
    ${shown.length < rows.length && html`<button type="button" onClick=${() => showWhole(true)}>Show all ${rows.length} lines</button>`}</section>`;
}

function Both({ a, b }) {
  const load = signal => Promise.all([a, b].map(id => get(`/eval/${encodeURIComponent(id)}`, { signal })));
  const { value, error, reload } = useLoaded(load, [a, b]);
  const isRunning = value?.some(({ outcome }) => outcome === null);
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setTimeout(reload, POLL_INTERVAL);
    return () => clearTimeout(timer);
  }, [value, error]);
  if (error) return html`<${Failure} error=${error} />`;
  if (!value) return html`<p role="status">Loading…</p>`;
  const [one, other] = value;
  return html`<p role="status">${isRunning && "Not both have ended; this is how far they are."}</p><${Fields} one=${one} other=${other} />
    <${Diff} name="Standard output" left=${one.stdout} right=${other.stdout} />
    <${Diff} name="Standard error" left=${one.stderr} right=${other.stderr} />`;
}

export default function Page({ route: { query } }) {
  const [a, b] = [query.get("a") ?? "", query.get("b") ?? ""];
  return html`<${Choose} a=${a} b=${b} />
    ${a && html`<${RunElsewhere} key=${a} id=${a} />`}
    ${a && b ? html`<${Both} key=${`${a} ${b}`} a=${a} b=${b} />` : html`<p>Two evaluations, of the same program or of two, by their ids.
      They can be chosen in the <a href=${href("list")}>list</a> as well.</p>`}`;
}
