// The REST interface, as the visitor of this tab. Paths are those of the contract: get("/datasets").
import { has, t } from "./i18n.js";
import { lost } from "./connection.js";
import { page_url, session, signed_out_elsewhere } from "./session.js";

const AWAY = new Set([502, 503]);
const TRIES = 30; // of what may be asked twice: each waits until the service is back

// What went wrong. `code` is stable, `message` says it in words, `rejected` lists files that were refused.
export class ApiError extends Error {
  constructor({ status = 0, code = "no_connection", detail = "", rejected = [] } = {}) {
    const key = `error.${code}`;
    super(has(key) ? t(key, { detail }) : detail || t("error.unknown"));
    Object.assign(this, { status, code, detail, rejected });
  }
}

// The address of a path of the interface, for <img src> and links too.
export const url = (path) => page_url(`page/${session.get().who}/api${path}`);

async function failure(answer) {
  const told = await answer.json().catch(() => ({}));
  const error = new ApiError({ ...told, status: answer.status, code: told.code ?? "unknown" });
  if (error.status === 401) signed_out_elsewhere();
  return error;
}

// The answer to one request. What may be asked twice waits for a service that is away; the rest throws `no_connection`.
export async function request(method, path, { body, signal, headers = {} } = {}) {
  const repeats = method === "GET" || "Idempotency-Key" in headers;
  for (let tries = 1; ; tries += 1) {
    let answer = null;
    try {
      answer = await fetch(url(path), { method, body, signal, headers });
    } catch (error) {
      if (error.name === "AbortError") throw error;
    }
    if (answer?.ok) return answer;
    if (answer && !AWAY.has(answer.status)) throw await failure(answer);
    const back = lost();
    if (!repeats || tries === TRIES) throw answer ? await failure(answer) : new ApiError();
    await back;
    signal?.throwIfAborted();
  }
}

// Addresses without TLS, other than this machine's, have no randomUUID.
export const new_key = () => crypto.randomUUID?.() ?? [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16)).join("");

const as_json = async (answer) => (answer.status === 204 ? null : answer.json());
const json = (body) => ({ body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });

export const get = async (path, options) => as_json(await request("GET", path, options));
// `key`: what makes something comes under a key of its own, so that sending it again makes nothing twice.
export async function post(path, body = {}, { key, signal } = {}) {
  const { headers, ...sent } = json(body);
  return as_json(await request("POST", path, { ...sent, signal, headers: key ? { ...headers, "Idempotency-Key": key } : headers }));
}
export const patch = async (path, body) => as_json(await request("PATCH", path, json(body)));
export const remove = async (path) => as_json(await request("DELETE", path));
export const send = async (path, form, options = {}) => as_json(await request("POST", path, { ...options, body: form }));

// All items of a list, page by page.
export async function all(path, options) {
  const items = [];
  for (let cursor = null; ; ) {
    const page = await get(`${path}${path.includes("?") ? "&" : "?"}limit=100${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`, options);
    items.push(...page.items);
    cursor = page.next_cursor;
    if (!cursor) return items;
  }
}

// Sends a form and tells how much of it has gone (0..1). Only this way a browser tells. `signal` ends it.
// An upload is sent under a key of its own, so that one whose answer was lost is not stored twice when it is sent again.
export async function upload(path, form, { progress = () => {}, signal, key = new_key() } = {}) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await sent(path, form, progress, signal, key);
    } catch (error) {
      if (!(error instanceof ApiError) || !(error.status === 0 || AWAY.has(error.status)) || tries === TRIES) throw error;
      progress(0);
      await lost();
      signal?.throwIfAborted();
    }
  }
}

function sent(path, form, progress, signal, key) {
  return new Promise((resolve, reject) => {
    const asked = new XMLHttpRequest();
    asked.open("POST", url(path));
    asked.setRequestHeader("Idempotency-Key", key);
    asked.responseType = "json";
    asked.upload.onprogress = (event) => progress(event.lengthComputable ? event.loaded / event.total : 0);
    asked.onload = () => {
      if (asked.status < 300) return resolve(asked.response);
      if (asked.status === 401) signed_out_elsewhere();
      reject(new ApiError({ code: "unknown", ...asked.response, status: asked.status }));
    };
    asked.onerror = () => reject(new ApiError());
    asked.onabort = () => reject(new DOMException("", "AbortError"));
    signal?.addEventListener("abort", () => asked.abort());
    asked.send(form);
  });
}

export const is_final = (job) => ["succeeded", "failed", "cancelled"].includes(job.status);

// Follows a job to its end: `use(job)` for each state. Gives a function that stops following.
export function follow(job_id, use) {
  let source = null;
  let over = false;
  const open = () => {
    if (over) return;
    source = new EventSource(url(`/jobs/${job_id}/events`));
    const take = (event) => {
      const job = JSON.parse(event.data);
      if (is_final(job)) stop();
      use(job);
    };
    source.addEventListener("job", take);
    source.onerror = async () => {
      source.close();
      if (over) return;
      try {
        const job = await get(`/jobs/${job_id}`); // waits until the service is back
        if (over) return;
        use(job);
        if (is_final(job)) stop();
        else setTimeout(open, 500);
      } catch (error) {
        stop();
        use({ id: job_id, status: "failed", phase: "", error: { code: error.code, detail: error.message } });
      }
    };
  };
  const stop = () => {
    over = true;
    source?.close();
  };
  open();
  return stop;
}
