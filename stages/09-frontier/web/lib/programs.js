// What was submitted as an evaluation, which the server stores with it, and the draft of this tab.

import { get } from "./api.js";

// What would submit it again: submitted(id, signal). Null where the server stores nothing on disk.
export async function submitted(id, signal) {
  try {
    return await get(`/eval/${encodeURIComponent(id)}/submission`, { signal });
  } catch (error) {
    if (error.status === 404) return null;
    throw error;
  }
}

const DRAFT = "crucible-draft";

export const saveDraft = draft => {
  try { sessionStorage.setItem(DRAFT, JSON.stringify(draft)); } catch { /* the storage is full */ }
};

export function loadDraft() {
  try { return JSON.parse(sessionStorage.getItem(DRAFT)) ?? {}; } catch { return {}; }
}
