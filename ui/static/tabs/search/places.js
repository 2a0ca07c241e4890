// What can be searched: data sets and collections.
import { useAll } from "../../lib/live.js";

const as_place = (kind) => ({ id, name, image_count: count, created_at }) => ({ kind, key: `${kind}:${id}`, id, name, count, created_at });

// All that can be searched, the newest first.
export function usePlaces() {
  const datasets = useAll("/datasets");
  const collections = useAll("/collections");
  const places = [...(collections.value ?? []).map(as_place("collection")), ...(datasets.value ?? []).map(as_place("dataset"))];
  places.sort((one, other) => other.created_at.localeCompare(one.created_at));
  const there = datasets.value !== undefined && collections.value !== undefined;
  return { places, there, collections: collections.value ?? [], error: datasets.error ?? collections.error };
}
