// The finished example for those who have no pictures at hand.
import { get, new_key, post } from "../../lib/api.js";
import { changed } from "../../lib/live.js";
import { store } from "../../lib/store.js";
import { watch, watch_nothing } from "../../lib/teaching.js";

// The id of its adapter while it is shown, or null.
export const example = store(null);

export async function show_example() {
  const made = await post("/example", {}, { key: new_key() });
  changed("/datasets", "/adapters", "/jobs", "/usage");
  if (!made.adapter_id) return watch(await get(`/jobs/${made.job_id}`)); // on another base it is taught first
  watch_nothing();
  return example.set(made.adapter_id);
}
