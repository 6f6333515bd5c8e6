// The frame around every page: navigation, search, key, theme. A page is a module that is loaded when it is opened.

import { html, render, signal, useEffect, useRef, useState } from "/web/lib/ui.js";
import { href, route } from "/web/lib/router.js";
import { isKeyWanted, key } from "/web/lib/api.js";
import { KeyForm, Search, ThemeButton } from "/web/lib/frame.js";
import { MORE } from "/web/lib/more.js";

// In the order of the navigation. `inMenu: false` is reached from another page.
const PAGES = [
  { name: "submit", title: "Submit" },
  { name: "list", title: "Evaluations" },
  { name: "compare", title: "Compare" },
  { name: "sandboxes", title: "Sandboxes" },
  { name: "dashboard", title: "Dashboard" },
  { name: "environments", title: "Environments" },
  { name: "matrix", title: "Containment" },
  { name: "keys", title: "Keys" },
  { name: "audit", title: "Audit" },
  ...MORE,
  { name: "eval", file: "evaluation", title: "Evaluation", inMenu: false },
  { name: "sandbox", title: "Sandbox", inMenu: false },
];

const isKeyFormOpen = signal(false);

function Navigation({ current }) {
  return html`<nav aria-label="Pages"><ul>${PAGES.filter(page => page.inMenu !== false).map(({ name, title }) => html`
    <li key=${name}><a href=${href(name)} aria-current=${name === current ? "page" : undefined}>${title}</a></li>`)}</ul></nav>`;
}

// The module of a page, once it is loaded. It exports a component, which gets the route.
function Page({ page }) {
  const [loaded, set] = useState({});
  const heading = useRef(null);
  const isFirst = useRef(true);
  useEffect(() => {
    let isCurrent = true;
    import(`/web/pages/${page.file ?? page.name}.js`).then(
      module => isCurrent && set({ name: page.name, Content: module.default }),
      error => isCurrent && set({ name: page.name, error }));
    document.title = `${page.title} · Crucible`;
    // A screen reader begins with the new page. Not at the start: it reads the whole document then.
    if (!isFirst.current) heading.current?.focus();
    isFirst.current = false;
    return () => { isCurrent = false; };
  }, [page.name]);
  const { Content, error } = loaded.name === page.name ? loaded : {};
  return html`
    <h1 ref=${heading} tabindex="-1">${page.title}</h1>
    ${error && html`<p role="alert" class="failure">This page was not loaded: ${error.message}</p>`}
    ${Content && html`<${Content} key=${key.value ?? ""} route=${route.value} />`}
    ${!Content && !error && html`<p role="status">Loading…</p>`}`;
}

function App() {
  const { name } = route.value;
  const page = PAGES.find(page => page.name === name);
  return html`
    <a class="skip" href="#main" onClick=${event => { event.preventDefault(); document.getElementById("main").focus(); }}>
      To the content</a>
    <header>
      <a class="brand" href=${href("submit")}>Crucible</a>
      <${Navigation} current=${name} />
      <${Search} />
      <div class="tools">
        <button type="button" aria-expanded=${isKeyFormOpen.value || isKeyWanted.value} onClick=${() => {
          isKeyFormOpen.value = !isKeyFormOpen.value; }}>${key.value ? "Key set" : "Key"}</button>
        <${ThemeButton} />
        <a href="/docs">API</a>
      </div>
    </header>
    <main id="main" tabindex="-1">
      ${(isKeyFormOpen.value || isKeyWanted.value) && html`<${KeyForm} onDone=${() => { isKeyFormOpen.value = false; }} />`}
      ${page ? html`<${Page} page=${page} />` : html`<h1>No such page</h1><p>There is nothing at this address.</p>`}
    </main>`;
}

render(html`<${App} />`, document.getElementById("app"));
