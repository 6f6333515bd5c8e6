// The programs that were submitted from this tab, by the ids of their evaluations: the server has a program only for
// as long as it may have to run. They are gone with the tab.

const STORED = "crucible-programs";
const MAX_PROGRAMS = 20;
const MAX_CHARACTERS = 1_000_000;

function all() {
  try { return JSON.parse(sessionStorage.getItem(STORED) ?? "[]"); } catch { return []; }
}

export function remember(id, submission) {
  const text = JSON.stringify(submission);
  const programs = [{ id, text }, ...all().filter(it => it.id !== id)].slice(0, MAX_PROGRAMS);
  while (programs.length && programs.reduce((sum, it) => sum + it.text.length, 0) > MAX_CHARACTERS) programs.pop();
  try { sessionStorage.setItem(STORED, JSON.stringify(programs)); } catch { /* the storage is full */ }
}

// What was submitted as this evaluation, or undefined.
export function recall(id) {
  const found = all().find(it => it.id === id);
  return found && JSON.parse(found.text);
}

const DRAFT = "crucible-draft";

export const saveDraft = draft => {
  try { sessionStorage.setItem(DRAFT, JSON.stringify(draft)); } catch { /* the storage is full */ }
};

export function loadDraft() {
  try { return JSON.parse(sessionStorage.getItem(DRAFT)) ?? {}; } catch { return {}; }
}
