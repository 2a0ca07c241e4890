// What a visitor has not sent yet, kept in the browser (IndexedDB), so that a reload or a restart of it loses nothing.
// A browser that keeps nothing (a private window, a full disk) is no fault: `kept_here` says so then.
import { session } from "./session.js";
import { store } from "./store.js";

const BATCH = 50; // files of one transaction: a thousand at once would hold the disk for seconds

export const kept_here = store(true);

const opened = new Map();

function database() {
  const name = `saft-${session.get().who}`;
  if (!opened.has(name)) opened.set(name, open(name));
  return opened.get(name);
}

function open(name) {
  const asked = indexedDB.open(name, 1);
  asked.onupgradeneeded = () => ["values", "files"].forEach((kind) => asked.result.createObjectStore(kind));
  return answer(asked);
}

const answer = (asked) =>
  new Promise((resolve, reject) => {
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = asked.onblocked = () => reject(asked.error);
  });

// One transaction: `use(store)` asks for one thing or a list of them. Gives what was asked for, or undefined where
// nothing can be kept.
async function within(kind, mode, use) {
  try {
    const transaction = (await database()).transaction(kind, mode);
    const done = new Promise((resolve, reject) => {
      transaction.oncomplete = resolve;
      transaction.onabort = transaction.onerror = () => reject(transaction.error);
    });
    const asked = use(transaction.objectStore(kind));
    await done;
    return Array.isArray(asked) ? asked.map((one) => one.result) : asked?.result;
  } catch {
    kept_here.set(false);
    return undefined;
  }
}

export const keep_value = (name, value) => within("values", "readwrite", (values) => values.put(value, name));
export const kept_value = (name) => within("values", "readonly", (values) => values.get(name));

// entries: [[key, Blob]].
export async function keep_files(entries) {
  for (let start = 0; start < entries.length; start += BATCH)
    await within("files", "readwrite", (files) => entries.slice(start, start + BATCH).forEach(([key, blob]) => files.put(blob, key)));
}

// The files of these keys; undefined for one that is not there.
export const kept_files = async (keys) => (await within("files", "readonly", (files) => keys.map((key) => files.get(key)))) ?? [];

// Lets go of all files whose keys are not wanted.
export async function keep_only(is_wanted) {
  const there = (await within("files", "readonly", (files) => files.getAllKeys())) ?? [];
  const gone = there.filter((key) => !is_wanted(key));
  if (gone.length) await within("files", "readwrite", (files) => gone.forEach((key) => files.delete(key)));
}
