// Requests to the server. Every failure is an Error whose message can be shown unchanged.

import { kept, keep } from "./kept.js";

const KEPT_KEY = "lossaudit.key";
const KEY = /^#key=([\w-]+)$/;

takeKey();
addEventListener("hashchange", takeKey);

/** Takes the server's key out of the address, which people copy. */
function takeKey() {
  const key = KEY.exec(location.hash)?.[1];
  if (!key) return;
  keep(KEPT_KEY, key); // other tabs, and this one after a restart of the server, read it from there
  history.replaceState(null, "", location.pathname + location.search);
}

export class Failure extends Error {
  constructor(message, status, told = {}) {
    super(message);
    this.status = status; // 0: no answer at all
    this.told = told; // the answer
  }
}

/** Who asks, and whose decisions count for them; part of each request. */
export const viewer = { annotator: "", whose: "anyone" };

export const get = (path, values = {}) => ask(`api/${path}?${new URLSearchParams({ ...values, ...viewer })}`);

export const post = (path, body) =>
  ask(`api/${path}`, {
    method: "POST",
    body: JSON.stringify({ ...body, ...viewer }),
    keepalive: true, // a decision is sent even if its tab is closed
  });

async function ask(url, options = {}) {
  const headers = { "Content-Type": "application/json", "X-Lossaudit-Key": kept(KEPT_KEY) ?? "" };
  let answer;
  try {
    answer = await fetch(url, { ...options, headers, signal: AbortSignal.timeout(60_000) });
  } catch {
    throw new Failure("The server doesn't answer. Is `lossaudit review` still running?", 0);
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  throw new Failure(told.error ?? `The server failed (${answer.status}).`, answer.status, told);
}
