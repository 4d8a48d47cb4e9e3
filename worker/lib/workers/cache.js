// The service behind `caches.default` and `caches.open()`: a bounded store in memory. The runtime reads by GET with
// `Cache-Control: only-if-cached`, stores by PUT with a serialised response as its body, and deletes by PURGE.
const MAX_BYTES = 64 * 1024 * 1024;
const MAX_ENTRY_BYTES = 8 * 1024 * 1024;

/** Oldest first; a hit moves its entry to the end. */
const entries = new Map();
let held = 0;

const keyOf = (request) => `${request.headers.get("cf-cache-namespace") ?? ""}\n${request.url}`;

function remove(key) {
  const entry = entries.get(key);
  if (!entry) return false;
  entries.delete(key);
  held -= entry.body.byteLength;
  return true;
}

/** Splits a serialised HTTP/1.1 response into status, headers and body. */
function parseResponse(bytes) {
  const text = new TextDecoder("latin1").decode(bytes.subarray(0, Math.min(bytes.byteLength, 64 * 1024)));
  const end = text.indexOf("\r\n\r\n");
  if (end < 0) return null;
  const [statusLine, ...lines] = text.slice(0, end).split("\r\n");
  const status = Number(statusLine.split(" ")[1]);
  const headers = new Headers();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon > 0) headers.append(line.slice(0, colon), line.slice(colon + 1).trim());
  }
  let body = bytes.slice(end + 4);
  if (/\bchunked\b/i.test(headers.get("transfer-encoding") ?? "")) body = dechunk(body);
  headers.delete("transfer-encoding");
  return body && status >= 200 ? { status, headers, body } : null;
}

function dechunk(bytes) {
  const parts = [];
  let at = 0;
  for (;;) {
    const lineEnd = bytes.indexOf(13, at);
    if (lineEnd < 0) return null;
    const size = parseInt(new TextDecoder().decode(bytes.subarray(at, lineEnd)), 16);
    if (!Number.isInteger(size)) return null;
    at = lineEnd + 2;
    if (size === 0) break;
    if (at + size > bytes.byteLength) return null;
    parts.push(bytes.subarray(at, at + size));
    at += size + 2;
  }
  const body = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0));
  let offset = 0;
  for (const part of parts) {
    body.set(part, offset);
    offset += part.byteLength;
  }
  return body;
}

/** Milliseconds for which a response may be kept; 0 = not at all. */
function lifetime(headers) {
  const control = (headers.get("cache-control") ?? "").toLowerCase();
  if (/\b(no-store|private|no-cache)\b/.test(control) || headers.has("set-cookie")) return 0;
  const seconds = control.match(/\bs-maxage=(\d+)/)?.[1] ?? control.match(/\bmax-age=(\d+)/)?.[1];
  if (seconds !== undefined) return Number(seconds) * 1000;
  const expires = Date.parse(headers.get("expires") ?? "");
  return Number.isNaN(expires) ? 0 : Math.max(0, expires - Date.now());
}

async function put(request, key) {
  const bytes = new Uint8Array(await request.arrayBuffer());
  const response = parseResponse(bytes);
  if (!response) return new Response(null, { status: 400 });
  const keep = lifetime(response.headers);
  remove(key);
  if (keep === 0 || response.body.byteLength > MAX_ENTRY_BYTES) return new Response(null, { status: 204 });
  entries.set(key, { ...response, stored: Date.now(), expires: Date.now() + keep });
  held += response.body.byteLength;
  for (const oldest of entries.keys()) {
    if (held <= MAX_BYTES) break;
    remove(oldest);
  }
  return new Response(null, { status: 204 });
}

function match(request, key) {
  const entry = entries.get(key);
  if (!entry || entry.expires <= Date.now()) {
    remove(key);
    return new Response(null, { status: 504, headers: { "cf-cache-status": "MISS" } });
  }
  entries.delete(key);
  entries.set(key, entry);
  const headers = new Headers(entry.headers);
  headers.set("cf-cache-status", "HIT");
  headers.set("age", String(Math.floor((Date.now() - entry.stored) / 1000)));
  const tag = headers.get("etag");
  const wanted = request.headers.get("if-none-match");
  if (tag && wanted && wanted.split(",").some((one) => one.trim().replace(/^W\//, "") === tag.replace(/^W\//, ""))) {
    return new Response(null, { status: 304, headers });
  }
  return new Response([204, 304].includes(entry.status) ? null : entry.body, { status: entry.status, headers });
}

export default {
  async fetch(request) {
    const key = keyOf(request);
    switch (request.method) {
      case "GET": return match(request, key);
      case "PUT": return put(request, key);
      case "PURGE": return new Response(null, { status: remove(key) ? 200 : 404 });
      default: return new Response(null, { status: 405 });
    }
  },
};
