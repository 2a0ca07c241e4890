// Starting fine-tunes, and which one the visitor watches: it is found again after a reload, by every part of the page.
import { tab } from "./storage.js";
import { follow, is_final, new_key, post } from "./api.js";
import { by_name, chosen } from "./chosen.js";
import { changed } from "./live.js";
import { session } from "./session.js";
import { store } from "./store.js";
import { open_tab } from "./tabs.js";

const kept = () => `saft-watched-${session.get().who}`;

// The job that is watched, as it stands; null when none is.
export const watched = store(null);
let stop = () => {};

// Nothing of one visitor is left for the next.
session.listen(() => {
  stop();
  watched.set(null);
});

// Follows a job from now on, in place of the one before.
export function watch(job) {
  stop();
  watched.set(job);
  tab.keep(kept(), job.id);
  if (is_final(job)) return;
  stop = follow(job.id, (state) => {
    watched.set(state);
    if (!is_final(state)) return;
    if (state.adapter_id) chosen.set(by_name(state.name));
    changed("/adapters", "/jobs", "/usage");
  });
}

export function watch_nothing() {
  stop();
  watched.set(null);
  tab.drop(kept());
}

// The id of the job that was watched in this tab of the browser before it was reloaded, or null.
export const watched_before = () => tab.kept(kept());

// Starts a fine-tune and watches it in the Teach tab. `more` are other fields of POST /adapters.
export async function teach(name, dataset_id, more = {}) {
  const job = await post("/adapters", { name, dataset_id, ...more }, { key: new_key() });
  changed("/jobs");
  watch(job);
  open_tab("teach");
  return job;
}

// A dataset with changes, as a new dataset: {remove: [position], relabel: [{position, label}]}; the file is shared.
export async function revise(dataset_id, changes) {
  const made = await post(`/datasets/${dataset_id}/revisions`, changes, { key: new_key() });
  changed("/datasets");
  return made;
}
