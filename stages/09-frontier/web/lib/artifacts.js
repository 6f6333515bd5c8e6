// The files that a program has left. A file is data: it is saved, shown as text, or as a picture that is one.

import { html, useEffect, useState } from "./ui.js";
import { Problem, get, send } from "./api.js";
import { size } from "./format.js";
import { Failure, useLoaded } from "./parts.js";
import { picture } from "./picture.js";
import { safeName, save } from "./save.js";
import { decoded, visible, visibleName } from "./text.js";

const SHOWN_BYTES = 16 << 20;
const SHOWN_CHARACTERS = 100_000;

const nameOf = artifact => decoded({ text: artifact.path, encoding: artifact.encoding });

async function content(id, { number }) {
  const response = await send(`/eval/${id}/artifacts/${number}`);
  if (!response.ok) throw new Problem(response.status, await response.json().catch(() => null), response.headers);
  return new Uint8Array(await response.arrayBuffer());
}

// What is shown of a file: a picture by its address, or text.
function Shown({ shown, name }) {
  const [address, set] = useState(null);
  useEffect(() => {
    if (!shown.picture) return undefined;
    const made = URL.createObjectURL(shown.picture.blob);
    set(made);
    return () => URL.revokeObjectURL(made);
  }, [shown]);
  if (shown.picture) return address && html`<img class="artifact" src=${address} alt=${`Picture ${name}`}
    width=${shown.picture.width} height=${shown.picture.height} />`;
  return html`<pre tabindex="0" role="region" aria-label=${`Content of ${name}`}>${shown.text}</pre>
    ${shown.isCut && html`<p class="faint">That is the beginning; save it for the rest.</p>`}`;
}

function Artifact({ id, artifact }) {
  const [{ shown, error, isBusy }, set] = useState({});
  const name = visibleName(nameOf(artifact));
  const act = action => async () => {
    set(old => ({ ...old, isBusy: true, error: null }));
    try { set({ shown, ...await action(await content(id, artifact)) }); } catch (error) { set({ shown, error }); }
  };
  const show = act(data => {
    const found = picture(data);
    if (found) return { shown: { picture: found } };
    const text = new TextDecoder().decode(data);
    return { shown: { text: visible(text.slice(0, SHOWN_CHARACTERS)), isCut: text.length > SHOWN_CHARACTERS } };
  });
  const download = act(data => save(data, safeName(nameOf(artifact), `artifact-${artifact.number}`)) ?? {});
  return html`<li>
    <div class="row"><bdi class="code">${name}</bdi> <small>${size(artifact.bytes)}</small>
      ${artifact.bytes <= SHOWN_BYTES && html`<button type="button" disabled=${isBusy} aria-expanded=${Boolean(shown)}
        aria-label=${`${shown ? "Hide" : "Show"} ${name}`}
        onClick=${shown ? () => set({}) : show}>${shown ? "Hide" : "Show"}</button>`}
      <button type="button" disabled=${isBusy} aria-label=${`Save ${name}`} onClick=${download}>Save</button>
      <small class="code" title="SHA-256">${artifact.sha256.slice(0, 16)}…</small></div>
    <${Failure} error=${error} />
    ${shown && html`<${Shown} shown=${shown} name=${name} />`}</li>`;
}

export function Artifacts({ id }) {
  const { value, error } = useLoaded(signal => get(`/eval/${id}/artifacts`, { signal }), [id]);
  if (error) return html`<h2>Files</h2><${Failure} error=${error} />`;
  if (!value?.items.length) return null;
  return html`<section aria-labelledby="files"><h2 id="files">Files <small>left in /output</small></h2>
    <ul class="artifacts">${value.items.map(artifact =>
      html`<${Artifact} key=${artifact.number} id=${id} artifact=${artifact} />`)}</ul></section>`;
}
