// A submission, and what the contract of this server allows in one.

import { call, get } from "./api.js";

// Makes what a request asks for, once: a second try after a lost answer makes nothing new.
async function make(path, body) {
  const idempotency = `"${crypto.randomUUID?.() ?? Math.random().toString(36).slice(2)}"`;
  const options = { body, headers: { "Idempotency-Key": idempotency } };
  return call("POST", path, options).catch(error => {
    if (error.status !== 0) throw error;
    return new Promise(done => setTimeout(done, 1000)).then(() => call("POST", path, options));
  });
}

// Submits, and gives the id.
export const submit = async submission => (await make("/eval", submission)).id;

// Runs a program in two environments, and gives the ids of both evaluations.
export async function runInBoth({ environment: _, ...program }, environments) {
  const { evaluations } = await make("/compare", { program, environments });
  return evaluations.map(({ id }) => id);
}

let contract = null;

async function read() {
  contract ??= get("/openapi.json");
  try { return await contract; } catch (error) { contract = null; throw error; }
}

// The schema of each member of a submission: its bounds, its default, its values.
export const bounds = async () => (await read()).components.schemas.Submission.properties;

// The environments, or none where the server has none, or where this key may not see them.
export async function environments(signal) {
  if (!(await read()).paths["/environments"]) return [];
  try {
    const { items } = await get("/environments", { signal });
    return items;
  } catch (error) {
    if (error.status === 403) return [];
    throw error;
  }
}
