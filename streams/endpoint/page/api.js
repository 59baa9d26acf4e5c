// Requests to the endpoint. Each id is percent-encoded as a whole path segment.

const TOKEN = "token"; // of readers, kept until the tab is closed

export function keepToken(token) {
  sessionStorage.setItem(TOKEN, token);
  location.reload();
}

// A response of the endpoint, which may still be arriving.
export function request(parts, query = {}, options = {}) {
  const path = ["v1", ...parts].map((part) => `/${encodeURIComponent(part)}`).join("");
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== "")).toString();
  return get(text ? `${path}?${text}` : path, options);
}

function get(path, options = {}) {
  const token = sessionStorage.getItem(TOKEN);
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  return fetch(path, { headers, ...options });
}

// The answer, or an error, which says in `waits` whether the worker is only not ready.
export async function askOnce(parts, query = {}, options = {}) {
  let response;
  try {
    response = await request(parts, query, options);
  } catch {
    throw Object.assign(new Error("The worker does not answer."), { status: 0, waits: true });
  }
  const document = await response.json().catch(() => ({}));
  if (response.ok) return document;
  throw Object.assign(new Error(document.detail ?? response.statusText), { status: response.status, waits: response.status === 503 });
}

const AGAIN_MS = 1000;
let tell = () => {};
let view = new AbortController();

// Calls `listener` with what is missing each time that a question has to be asked again.
export function onWaiting(listener) {
  tell = listener;
}

// Drops the questions of the view that is left.
export function leaveView() {
  view.abort();
  view = new AbortController();
}

// The answer, asked for again until the worker is ready, or the view is left.
export async function ask(parts, query = {}) {
  const { signal } = view;
  for (;;) {
    try {
      return await askOnce(parts, query, { signal });
    } catch (error) {
      if (!signal.aborted && !error.waits) throw error;
      if (!signal.aborted) tell(await missing(error));
    }
    if (signal.aborted) return new Promise(() => {});
    await new Promise((resume) => setTimeout(resume, AGAIN_MS));
  }
}

// What the worker waits for.
async function missing(error) {
  try {
    return (await readiness()) ?? error.message;
  } catch {
    return error.message;
  }
}

// Null if the worker can answer, else what is missing.
export async function readiness() {
  const response = await get("/health/ready");
  return response.ok ? null : (await response.json()).detail;
}

let names;

// The scores that there are, by which lists can be ranked.
export async function scores() {
  names ??= get("/openapi.json").then((response) => response.json()).then((api) => api.components.schemas.RelatedList.properties.score.enum);
  return names;
}
