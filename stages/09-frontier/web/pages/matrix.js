// What this machine contains: the probes of the ladder, fired at this server, and the verdict on each.

import { html, useEffect, useState } from "/web/lib/ui.js";
import { call, get } from "/web/lib/api.js";
import { duration } from "/web/lib/format.js";
import { PROGRAM } from "/web/lib/more.js";
import { Facts, Failure, Time, useLoaded } from "/web/lib/parts.js";
import { setQuery } from "/web/lib/router.js";
import { visibleName } from "/web/lib/text.js";

const POLL_INTERVAL = 3000;
const GROUPS = ["host-files", "secrets", "network", "processes", "resources", "kernel", "breakout", "traces", "platform",
  "tenants", "evaluator"];
const KINDS = ["escaped", "error", "contained", "n/a"];

export default function Page({ route }) {
  const { value: test, error, reload } = useLoaded(signal => get("/security-test", { signal }), []);
  const { value: status } = useLoaded(signal => get("/status", { signal }), []);
  const [failure, fail] = useState(null);
  const [group, setGroup] = useState("");
  const isRunning = test?.status === "running";
  useEffect(() => {
    if (!isRunning) return undefined;
    const timer = setTimeout(reload, POLL_INTERVAL);
    return () => clearTimeout(timer);
  }, [test, error]);
  const start = async event => {
    event.preventDefault();
    fail(null);
    try {
      await call("POST", "/security-test", { query: { group } });
      reload();
    } catch (error) { fail(error); }
  };
  return html`
    <p>Hostile programs are sent to this server as any client sends one, and each must be seen to fail. A test takes minutes,
      and its programs take places in the queue.</p>
    ${status && html`<${Facts} of=${[
      ["Isolation", visibleName(status.isolation)],
      ["Sandbox", [status.sandbox?.engine, status.sandbox?.runtime, status.sandbox?.runtime_version].filter(Boolean).join(" / ")],
      ["Version", `${status.stage} ${status.version}`],
    ]} />`}
    <form class="row" onSubmit=${start}>
      <label>Group of probes <select value=${group} onChange=${event => setGroup(event.target.value)}>
        <option value="">all of them</option>${GROUPS.map(name => html`<option key=${name}>${name}</option>`)}</select></label>
      <button class="primary" disabled=${!test || isRunning || test.missing !== undefined}>Fire the probes</button>
    </form>
    <${Failure} error=${failure ?? error} />
    ${test?.missing && html`<${Missing} why=${test.missing} />`}
    ${test && html`<${Report} test=${test} chosen=${route.query.get("verdict") ?? ""} />`}`;
}

const Missing = ({ why }) => html`<section aria-labelledby="missing"><h2 id="missing">What is missing</h2>
  <p>${visibleName(why)}.</p>
  <p>The probes are a program of their own, the ladder. <code>cargo build -p ladder</code> puts it beside the server. On the
    machine itself, <code>${PROGRAM} --security-test</code> fires them as well.</p></section>`;

function Report({ test, chosen }) {
  if (test.status === "never") return html`<p class="faint">No test yet, by this server or on its data directory.</p>`;
  const count = kind => test.verdicts.filter(({ verdict }) => verdict === kind).length;
  const wrong = ({ verdict, must_contain }) => verdict === "error" || (verdict === "escaped" && must_contain);
  const shown = test.verdicts.filter(({ verdict }) => !chosen || verdict === chosen);
  const groups = Map.groupBy ? [...Map.groupBy(shown, ({ probe }) => probe.split("/")[0])] : [["", shown]];
  return html`
    <h2>${test.group ? `Probes of the group ${test.group}` : "All probes"}</h2>
    <${Facts} of=${[
      ["Started", html`<${Time} at=${test.started_at} />`],
      ["Ended", test.ended_at && html`<${Time} at=${test.ended_at} />`],
      ["Took", test.ended_at && duration(Date.parse(test.ended_at) - Date.parse(test.started_at))],
    ]} />
    <p role="status">${test.status === "running" ? "The probes are being fired…"
      : test.verdicts.length === 0 ? "" : test.verdicts.some(wrong) ? "Not passed: see what is marked."
      : count("contained") === 0 ? "Nothing was tested." : "Passed."}</p>
    ${test.error && html`<p role="alert" class="failure">${visibleName(test.error)}</p>`}
    ${test.verdicts.length > 0 && html`<div class="row" role="group" aria-label="Verdicts to show">
      ${["", ...KINDS].map(kind => html`<button key=${kind} type="button" aria-pressed=${kind === chosen}
        onClick=${() => setQuery({ verdict: kind })}>${kind || "all"} ${kind ? count(kind) : test.verdicts.length}</button>`)}</div>`}
    ${groups.map(([group, lines]) => html`<section key=${group} aria-label=${`Group ${group}`}><h3>${group}</h3>
      <div class="scroll"><table><thead><tr><th scope="col">Probe</th><th scope="col">Verdict</th><th scope="col">By</th></tr></thead>
      <tbody>${lines.map(line => html`<tr key=${line.probe}><th scope="row"><code>${visibleName(line.probe)}</code></th>
        <td class="verdict" data-kind=${line.verdict} data-wrong=${wrong(line)}>${visibleName(line.verdict)}${
          line.verdict === "escaped" && (line.must_contain ? " (!)" : ", as this stage does not contain it")}</td>
        <td>${visibleName(line.by ?? line.why ?? line.error ?? "")}</td></tr>`)}</tbody></table></div></section>`)}`;
}
