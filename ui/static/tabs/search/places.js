// What can be searched: data sets and collections.
import { ago, date } from "../../lib/i18n.js";
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

// [key, words] of each place; of those with one name the words tell when each was made.
export function place_options(t, places) {
  const words = ({ kind, name, count }) => t(`search.place_${kind}`, { name, count });
  const alike = ({ name, created_at }, how) => places.filter((one) => one.name === name && (!how || how(one.created_at) === how(created_at))).length > 1;
  const when = (place) => (alike(place, ago) ? date : ago)(place.created_at);
  return places.map((place) => [place.key, alike(place) ? `${words(place)}, ${when(place)}` : words(place)]);
}
