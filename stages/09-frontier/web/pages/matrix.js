import { html } from "/web/lib/ui.js";

export default function Page() {
  return html`<p>Nothing here yet.</p>`;
}
