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
  const token = sessionStorage.getItem(TOKEN);
  const headers = token === null ? {} : { Authorization: `Bearer ${token}` };
  return fetch(text ? `${path}?${text}` : path, { headers, ...options });
}

export async function ask(parts, query = {}) {
  let response;
  try {
    response = await request(parts, query);
  } catch {
    throw Object.assign(new Error("The worker does not answer. Is it running?"), { status: 0 });
  }
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(document.detail ?? response.statusText), { status: response.status });
  return document;
}
