// Requests to the endpoint. Each id is percent-encoded as a whole path segment.

export async function ask(parts, query = {}) {
  const path = parts.map((part) => `/${encodeURIComponent(part)}`).join("");
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== undefined && value !== "")).toString();
  let response;
  try {
    response = await fetch(text ? `${path}?${text}` : path, { headers: { Accept: "application/json" } });
  } catch {
    throw Object.assign(new Error("The worker does not answer. Is it running?"), { status: 0 });
  }
  const document = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(document.detail ?? response.statusText), { status: response.status });
  return document;
}
