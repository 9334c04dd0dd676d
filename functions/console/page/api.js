// Requests to the console's own server.

/** The server gives up after 26 seconds, and an HTTP API after 30. */
const LONGEST_WAIT = 29_000;

/** Why there is no answer. `kind` says what the page does about it. */
export class Fault extends Error {
  constructor(kind, message) {
    super(message);
    this.kind = kind;
  }
}

/** Asks for an action. The mode stays "cors": in any other, `Referrer-Policy: no-referrer` makes browsers hide `Origin`. */
export async function ask(action, body = {}, signal) {
  // In English everything is said anyway.
  const language = document.documentElement.lang;
  return send(`api/${action}`, language === "en" ? body : { ...body, language }, signal);
}

/** Ends the session. */
export function signOut() {
  return send("sign-out", {});
}

async function send(path, body, signal) {
  const signals = [AbortSignal.timeout(LONGEST_WAIT), signal].filter(Boolean);
  let response;
  let answer;
  try {
    response = await fetch(`/console/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json", "x-console": "1" },
      body: JSON.stringify(body),
      signal: AbortSignal.any(signals),
    });
    // API Gateway's own answers are no JSON of ours.
    answer = response.ok ? await response.json() : await response.json().catch(() => ({}));
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Fault(error.name === "TimeoutError" ? "timeout" : "offline", "");
  }
  if (response.ok) return answer;
  const { error } = answer;
  // Without an error of ours nobody knows how far it got, except that 429 is said before anything is done.
  throw new Fault(error?.kind ?? (response.status === 429 ? "later" : "timeout"), error?.message ?? "");
}
