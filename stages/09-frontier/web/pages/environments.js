// What a program can be run in.

import { html } from "/web/lib/ui.js";
import { get } from "/web/lib/api.js";
import { size } from "/web/lib/format.js";
import { Failure, useLoaded } from "/web/lib/parts.js";
import { visibleName } from "/web/lib/text.js";

const KNOWN = ["name", "description", "is_default", "default"];

// Any member that the server gives, in words: what there is to know of an environment grows.
function text(name, value) {
  if (value === null || value === undefined) return "—";
  if (name.endsWith("_bytes") && typeof value === "number") return size(value);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (Array.isArray(value)) return value.map(one => text("", one)).join(", ") || "none";
  if (typeof value === "object") return Object.entries(value).map(([key, one]) => `${key}: ${text(key, one)}`).join(", ");
  return String(value);
}

const Environment = ({ one }) => html`<section class="card"><h2><bdi>${visibleName(one.name)}</bdi>
    ${(one.is_default || one.default === true) && html` <small>the default one</small>`}</h2>
  ${one.description && html`<p>${visibleName(one.description)}</p>`}
  <dl class="facts">${Object.entries(one).filter(([name]) => !KNOWN.includes(name)).map(([name, value]) => html`<div key=${name}>
    <dt>${visibleName(name.replaceAll("_", " "))}</dt><dd>${visibleName(text(name, value))}</dd></div>`)}</dl></section>`;

export default function Page() {
  const { value, error } = useLoaded(signal => get("/environments", { signal }), []);
  if (error?.status === 404) return html`<p>This server has no environments: each program runs in the image that the server was set up with.</p>`;
  if (error) return html`<${Failure} error=${error} />`;
  if (!value) return html`<p role="status">Loading…</p>`;
  const items = value.items ?? value;
  return html`<p>An operator builds them with <code>env build NAME</code>; a submission names one as <code>environment</code>.</p>
    ${items.length ? items.map(one => html`<${Environment} key=${one.name} one=${one} />`) : html`<p>None is built.</p>`}`;
}
