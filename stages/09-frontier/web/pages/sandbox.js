// One sandbox that stays: its state, a terminal, its executions and its files.

import { html, useEffect, useRef, useState } from "/web/lib/ui.js";
import { call, get, Problem, send } from "/web/lib/api.js";
import { size } from "/web/lib/format.js";
import { CopyButton, Facts, Failure, Labels, Time } from "/web/lib/parts.js";
import { usePolled } from "/web/lib/polled.js";
import { safeName, save } from "/web/lib/save.js";
import { Tail } from "/web/lib/tail.js";
import { ending, path, run } from "/web/lib/terminal.js";
import { visible, visibleName } from "/web/lib/text.js";

const POLL_MILLISECONDS = 2_000;
const MAX_SHOWN_FILE_BYTES = 65_536;

// What a command has printed so far, both streams in the order in which they arrived.
function Printed({ tail }) {
  const element = useRef(null);
  useEffect(() => {
    tail.attach(element.current);
    return () => tail.close();
  }, []);
  return html`<pre ref=${element} tabindex="0"></pre>`;
}

function Terminal({ id }) {
  const [entries, set] = useState([]);
  const [asRoot, setRoot] = useState(false);
  const stop = useRef(new AbortController());
  const count = useRef(0);
  useEffect(() => () => stop.current.abort(), []);
  const change = (key, changes) => set(all => all.map(one => one.key === key ? { ...one, ...changes(one) } : one));
  const start = async event => {
    event.preventDefault();
    // Of the field itself: the last letter may not have been drawn yet.
    const field = event.currentTarget.elements.command;
    const line = field.value;
    if (!line.trim()) return;
    const key = count.current++;
    const tail = new Tail();
    set(all => [...all, { key, line, tail, state: "starting" }]);
    field.value = "";
    try {
      const ended = await run(id, line, {
        signal: stop.current.signal,
        user: asRoot ? "root" : undefined,
        onStart: exec => change(key, () => ({ exec, state: "running" })),
        onText: (text, stream) => tail.take({ stream, text }),
      });
      change(key, () => ({ exec: null, state: ending(ended) }));
    } catch (error) {
      if (error.name !== "AbortError") change(key, () => ({ exec: null, state: error.message }));
    }
  };
  const kill = exec => call("DELETE", path(id, "execs", exec)).catch(() => {});
  return html`<section><h2>Terminal</h2>
    <p>Each line is an execution of <code>/bin/sh -c</code>. What it leaves running goes on.</p>
    <div class="terminal" role="log" aria-label="Commands and what they print">${entries.map(one => html`<div key=${one.key}>
      <p><code>$ ${visible(one.line)}</code> <small>${visibleName(one.state)}</small>
        ${one.exec && html` <button type="button" onClick=${() => kill(one.exec)}>Kill</button>`}</p>
      <${Printed} tail=${one.tail} /></div>`)}</div>
    <form class="row" onSubmit=${start}><label class="line">Command <input name="command" class="code"
        autocomplete="off" autocapitalize="off" spellcheck=${false} /></label>
      <label class="row"><input type="checkbox" checked=${asRoot} onChange=${event => setRoot(event.target.checked)} /> as root</label>
      <button type="submit">Run</button></form></section>`;
}

function Files({ id, workdir }) {
  const field = useRef(null);
  const [state, set] = useState({});
  const name = () => field.current.value;
  const address = extra => `${path(id, "file")}?${new URLSearchParams({ path: name(), ...extra })}`;
  const asked = async (options, extra) => {
    const response = await send(address(extra), options);
    if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null), response.headers);
    return response;
  };
  const act = action => async event => {
    event.preventDefault();
    set({});
    try { set(await action(event) ?? {}); } catch (error) { set({ error }); }
  };
  const show = act(async () => {
    const text = new TextDecoder().decode(await (await asked({}, { max_bytes: MAX_SHOWN_FILE_BYTES })).arrayBuffer());
    return { text };
  });
  const download = act(async () => save(await (await asked({})).arrayBuffer(), safeName(name(), "file")));
  const upload = act(async event => {
    const [file] = event.target.files;
    if (!file) return undefined;
    await asked({ method: "PUT", body: file, headers: { "Content-Type": "application/octet-stream" } });
    return { said: `${size(file.size)} written to ${name()}` };
  });
  return html`<section><h2>Files</h2>
    <form class="row" onSubmit=${show}><label class="line">Path <input ref=${field} class="code" defaultValue=${`${workdir}/`}
        autocomplete="off" spellcheck=${false} /></label>
      <button type="submit">Show</button> <button type="button" onClick=${download}>Download</button>
      <label>Write a file of yours to this path <input type="file" onChange=${upload} /></label></form>
    <p role="status">${visibleName(state.said ?? "")}</p><${Failure} error=${state.error} />
    ${state.text !== undefined && html`<pre tabindex="0">${visible(state.text)}</pre>`}</section>`;
}

const Executions = ({ items }) => html`<section><h2>Executions</h2>
  ${items.length === 0 ? html`<p>None yet.</p>` : html`<div class="scroll"><table><caption class="hidden">Executions, newest first</caption>
    <thead><tr>${["Id", "Program", "State", "Printed"].map(name => html`<th key=${name} scope="col">${name}</th>`)}</tr></thead>
    <tbody>${items.map(one => html`<tr key=${one.id}><th scope="row"><code>${visibleName(one.id)}</code></th>
      <td><bdi>${visibleName(one.program)}</bdi></td><td>${visibleName(ending(one))}</td>
      <td>${size((one.stdout_bytes ?? 0) + (one.stderr_bytes ?? 0))}</td></tr>`)}</tbody></table></div>`}</section>`;

function Remove({ id }) {
  const [isSure, ask] = useState(false);
  const [error, fail] = useState(null);
  const remove = () => call("DELETE", path(id)).catch(fail);
  return html`<p>${isSure
    ? html`<button type="button" class="danger" onClick=${remove}>Remove it, with its files</button> <button type="button" onClick=${() => ask(false)}>Keep it</button>`
    : html`<button type="button" onClick=${() => ask(true)}>Remove…</button>`}</p><${Failure} error=${error} />`;
}

export default function Page({ route: { rest: [id] } }) {
  const { value, error } = usePolled(async signal => {
    const sandbox = await get(path(id), { signal });
    const items = sandbox.status === "ended" ? [] : (await get(path(id, "execs"), { signal })).items;
    return { sandbox, items };
  }, [id], POLL_MILLISECONDS);
  if (!value) return error ? html`<${Failure} error=${error} />` : html`<p role="status">Loading…</p>`;
  const { sandbox, items } = value;
  const isReady = sandbox.status === "ready";
  return html`<${Facts} of=${[
      ["Id", html`<span class="code">${sandbox.id}</span> <${CopyButton} text=${sandbox.id}><span class="hidden">Id: </span>Copy<//>`],
      ["State", `${sandbox.status}${sandbox.end_reason ? `: ${sandbox.end_reason}` : ""}`],
      ["Environment", html`<bdi>${visibleName(sandbox.environment)}</bdi>`],
      ["User", `${sandbox.user}, in ${sandbox.workdir}`],
      ["Memory", size(sandbox.limits.memory_bytes)],
      ["Opened", html`<${Time} at=${sandbox.created_at} />`],
      [isReady ? "Ends" : "Ended", html`<${Time} at=${sandbox.ended_at ?? sandbox.expires_at} />`],
      ["Labels", html`<${Labels} labels=${sandbox.labels} />`],
    ]} />
    <${Failure} error=${error} />
    ${isReady && html`<${Terminal} id=${id} /><${Files} id=${id} workdir=${sandbox.workdir} /><${Executions} items=${items} /><${Remove} id=${id} />`}`;
}
