// Parts of the frame: the search box, the form for the key, the theme.

import { html, useEffect, useRef, useState } from "./ui.js";
import { get, isKeyWanted, key, useKey } from "./api.js";
import { go, href } from "./router.js";

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

// What an id is of. Each is asked for, because an id does not say so.
async function find(text) {
  if (!ID.test(text)) return "that is no id";
  const places = [
    [`/eval/${text}`, () => href("eval", text)],
    [`/batches/${text}`, () => href("list", { batch: text })],
  ];
  for (const [path, target] of places) {
    try {
      await get(path);
      go(target());
      return "";
    } catch (error) {
      if (error.status !== 404) return error.message;
    }
  }
  return "nothing has this id";
}

// One box for any id. `/` goes there.
export function Search() {
  const [said, say] = useState("");
  const input = useRef(null);
  useEffect(() => {
    const onKey = event => {
      const isTyping = event.target.closest?.("input, textarea, select, [contenteditable=true]");
      if (event.key !== "/" || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      input.current.focus();
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, []);
  const submit = async event => {
    event.preventDefault();
    say("…");
    const found = await find(input.current.value.trim().toLowerCase());
    say(found);
    if (!found) input.current.value = "";
  };
  return html`<form role="search" class="search" onSubmit=${submit}>
    <input ref=${input} type="search" name="id" aria-label="Find an id" placeholder="Find an id ( / )"
      autocomplete="off" spellcheck=${false} maxlength="64" onInput=${() => say("")} />
    <span role="status" class="said">${said}</span></form>`;
}

export function KeyForm({ onDone }) {
  const input = useRef(null);
  useEffect(() => { if (isKeyWanted.value) input.current?.focus(); }, [isKeyWanted.value]);
  const use = text => { useKey(text); onDone(); };
  return html`<form class="key" aria-label="API key" onSubmit=${event => {
      event.preventDefault();
      use(input.current.value.trim());
    }}>
    ${isKeyWanted.value && html`<p role="alert">The server wants a valid key${key.value ? ": this one is not" : ""}.</p>`}
    <label>API key <input ref=${input} id="key" type="password" autocomplete="off" required placeholder="crk_…" /></label>
    <button class="primary">Use it</button>
    ${key.value && html`<button type="button" onClick=${() => use("")}>Forget it</button>`}
    <small>It stays in this tab, and is gone when the tab is closed.</small></form>`;
}

const THEMES = ["auto", "light", "dark"];

// Auto is what the system has.
export function ThemeButton() {
  const [theme, set] = useState(localStorage.getItem("crucible-theme") ?? "auto");
  useEffect(() => {
    document.documentElement.dataset.theme = theme;
    localStorage.setItem("crucible-theme", theme);
  }, [theme]);
  const next = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  return html`<button type="button" onClick=${() => set(next)} aria-label=${`Theme: ${theme}. Change to ${next}`}>
    ${{ auto: "◐", light: "☀", dark: "☾" }[theme] ?? "◐"}</button>`;
}
