// Requests to the server. Every failure is an Error whose message can be shown unchanged.

export class Failure extends Error {
  constructor(message, status) {
    super(message);
    this.status = status; // 0: no answer at all
  }
}

export const get = (path, values = {}) => ask(`/api/${path}?${new URLSearchParams(values)}`, {});

export const post = (path, body) =>
  ask(`/api/${path}`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    keepalive: true, // a decision is sent even if its tab is closed
  });

async function ask(url, options) {
  let answer;
  try {
    answer = await fetch(url, { ...options, signal: AbortSignal.timeout(60_000) });
  } catch {
    throw new Failure("The server doesn't answer. Is `lossaudit review` still running?", 0);
  }
  if (answer.ok) return answer.json();
  const told = await answer.json().catch(() => ({}));
  throw new Failure(told.error ?? `The server failed (${answer.status}).`, answer.status);
}
