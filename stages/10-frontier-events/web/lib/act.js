// Buttons that change something on the server.

import { html, useState } from "/web/lib/ui.js";

// { isBusy, error, act }: act(action) runs it, one at a time, and keeps its failure.
export function useAction() {
  const [state, set] = useState({ isBusy: false });
  const act = async action => {
    set({ isBusy: true });
    try {
      await action();
      set({ isBusy: false });
    } catch (error) { set({ isBusy: false, error }); }
  };
  return { ...state, act };
}

// A button for what cannot be undone: it asks, and only its second button acts.
export function Confirm({ name, question, disabled, onConfirm }) {
  const [isAsked, ask] = useState(false);
  if (!isAsked) return html`<button type="button" disabled=${disabled} onClick=${() => ask(true)}>${name}</button>`;
  return html`<span role="group" aria-label=${name}><span role="status">${question} </span>
    <button type="button" class="primary" disabled=${disabled} onClick=${() => { ask(false); onConfirm(); }}>Yes</button>
    <button type="button" onClick=${() => ask(false)}>No</button></span>`;
}
