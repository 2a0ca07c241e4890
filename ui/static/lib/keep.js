// What a visitor has not sent yet, kept in the browser (IndexedDB), so that a reload or a restart of it loses nothing.
// A browser that keeps nothing (a private window, a full disk) is no fault: `kept_here` says so then, and is true again
// once a database that took its time is open.
import { session } from "./session.js";
import { store } from "./store.js";

const BATCH = 50; // files of one transaction: a thousand at once would hold the disk for seconds
const OPEN_MS = 3000; // whoever asks does not wait for longer until a browser has opened the database

export const kept_here = store(true);

const opened = new Map();
const left = new Set(); // names of those who signed out, here or in another tab: nothing of theirs is kept any more

// Of the tenant, not of a key: another key of the same tenant finds what was kept.
const name_here = () => session.get().tenant && `saft-${session.get().tenant}`;

function database(name) {
  if (!name || left.has(name)) return Promise.reject(new Error("signed out"));
  if (!opened.has(name)) opened.set(name, open(name));
  return opened.get(name);
}

function open(name) {
  const asked = indexedDB.open(name, 1);
  asked.onupgradeneeded = () => ["values", "files"].forEach((kind) => asked.result.createObjectStore(kind));
  const here = answer(asked).then((kept) => {
    kept.onversionchange = () => (kept.close(), left.add(name), lost(name)); // signed out in another tab
    kept.onclose = () => lost(name);
    if (left.has(name)) return kept.close();
    opened.set(name, here);
    tell(name, true);
    return kept;
  });
  here.catch(() => opened.delete(name)); // whoever asks next tries once more
  return Promise.race([here, too_late()]);
}

const too_late = () => new Promise((_, reject) => setTimeout(reject, OPEN_MS));
const tell = (name, keeps) => name && name === name_here() && kept_here.set(keeps);

// The browser has let go of everything. When somebody has cleared its data, whoever asks next opens it anew, and then all
// is kept once more.
function lost(name) {
  opened.delete(name);
  tell(name, false);
}

const answer = (asked) =>
  new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
    asked.onblocked = () => resolve(undefined); // another tab has it open still; it is done when that lets go
  });

// One transaction: `use(store)` asks for one thing or a list of them. Gives what was asked for, or undefined where
// nothing can be kept.
async function within(kind, mode, use, name = name_here()) {
  try {
    const transaction = (await database(name)).transaction(kind, mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    done.catch(() => {}); // told below, unless asking has failed before
    const asked = use(transaction.objectStore(kind));
    transaction.commit?.(); // all was asked for: a page that is closed now has still stored it
    await done;
    return Array.isArray(asked) ? asked.map((one) => one.result) : asked?.result;
  } catch {
    tell(name, false);
    return undefined;
  }
}

export const keep_value = (name, value) => within("values", "readwrite", (values) => values.put(value, name));
export const drop_value = (name) => within("values", "readwrite", (values) => values.delete(name));

// All values: [[name, value]]; undefined where the browser does not say, or not yet.
export async function kept_values() {
  const found = await within("values", "readonly", (kept) => [kept.getAllKeys(), kept.getAll()]);
  return found?.[0].map((name, place) => [name, found[1][place]]);
}

// entries: [[key, Blob]]. All batches are asked for at once, so that a page that is closed now has still stored them.
export async function keep_files(entries) {
  const name = name_here();
  const starts = Array.from({ length: Math.ceil(entries.length / BATCH) }, (_, batch) => batch * BATCH);
  const put = (start) => (files) => entries.slice(start, start + BATCH).forEach(([key, blob]) => files.put(blob, key));
  await Promise.all(starts.map((start) => within("files", "readwrite", put(start), name)));
}

// The files of these keys, undefined for one that is not there; undefined where the browser does not say.
export const kept_files = (keys) => within("files", "readonly", (files) => keys.map((key) => files.get(key)));

const keys_kept = () => within("files", "readonly", (files) => files.getAllKeys());

// How many files are kept; undefined where the browser does not say.
export const count_files = async () => (await keys_kept())?.length;

// Lets go of all files with keys that begin so and are not wanted.
export async function keep_only(beginning, is_wanted) {
  const gone = ((await keys_kept()) ?? []).filter((key) => key.startsWith(beginning) && !is_wanted(key));
  if (gone.length) await within("files", "readwrite", (files) => gone.forEach((key) => files.delete(key)));
}

// Lets go of everything of this tenant's, in all tabs.
export async function keep_nothing() {
  const name = name_here();
  left.add(name);
  (await opened.get(name)?.catch(() => null))?.close();
  opened.delete(name);
  await Promise.race([answer(indexedDB.deleteDatabase(name)), too_late()]).catch(() => {});
}
