// What is asked and what came back. An answer belongs to its question: once that changes, it is not shown any more.
import { new_key, post, request } from "../../lib/api.js";
import { small_picture } from "../../lib/files.js";
import { useEffect, useRef, useState } from "../../lib/preact.js";
import { collection_thumbnail, dataset_thumbnail } from "../../parts/picture.js";
import { steps_of, threshold } from "./closeness.js";

const WAIT_MS = 250; // so that not every letter is asked for
const ON_A_PAGE = 24;
const LARGE = 512; // pixels: more than any model looks at

export const thumbnail = (place, id, size) =>
  (place.kind === "dataset" ? dataset_thumbnail : collection_thumbnail)(place.id, id, size);

let numbers = 0;

// A file to search by. Throws where neither the browser nor the service can read it.
export async function picture_of(file) {
  const small = await small_picture(file, LARGE);
  return { number: (numbers += 1), name: file.name, src: URL.createObjectURL(small), data: await data_of(small) };
}

// One of the pictures that are searched.
export const stored_picture = (place, { image_id, filename }) => ({
  number: (numbers += 1), name: filename.split("/").at(-1), src: thumbnail(place, image_id, 192), place, id: image_id,
});

function data_of(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(blob);
  });
}

// A stored picture is asked for by its id where it lies, and sent where it does not.
async function image_of(picture, place, signal) {
  if (picture.place?.key === place.key) return { image_id: picture.id };
  if (!picture.data) {
    const { kind, id } = picture.place;
    const answer = await request("GET", `/${kind}s/${id}/images/${picture.id}/thumbnail?size=${LARGE}`, { signal });
    picture.data = await data_of(await answer.blob());
  }
  return { image: picture.data };
}

async function body_of(question, steps, signal) {
  const { place, adapter, text, picture, weight, negative, floor, distinct } = question;
  const body = { adapter, [`${place.kind}_id`]: place.id, distinct, top_k: ON_A_PAGE };
  if (text) body.text = text;
  if (picture) Object.assign(body, await image_of(picture, place, signal));
  if (text && picture) body.text_weight = weight;
  if (negative) body.negative_text = negative;
  const least = threshold(floor, steps);
  return least === null ? body : { ...body, min_score: least };
}

// Null where there is nothing to ask.
function key_of({ place, adapter, text, picture, weight, negative, floor, distinct }) {
  if (!place?.count || !adapter || !(text || picture)) return null;
  return JSON.stringify([place.key, place.count, adapter, text, picture?.number, text && picture ? weight : 0, negative, floor, distinct]);
}

async function ask(question, signal) {
  const steps = await steps_of(question);
  signal.throwIfAborted();
  const body = await body_of(question, steps, signal);
  const { results, next_cursor } = await post("/retrieve", body, { signal, key: new_key() });
  return { body, steps, matches: results, next: next_cursor, error: null };
}

// {asked, answer, more}: whether there is a question, its answer once that is there, and what gets the next page.
export function useAnswer(question) {
  const key = key_of(question);
  const [held, setHeld] = useState({ key: null });
  const now = useRef(key);
  now.current = key;
  useEffect(() => {
    if (key === null) return undefined;
    const control = new AbortController();
    const timer = setTimeout(async () => {
      try {
        const found = await ask(question, control.signal);
        if (!control.signal.aborted) setHeld({ key, ...found });
      } catch (error) {
        if (!control.signal.aborted) setHeld({ key, error, matches: [], steps: [], next: null });
      }
    }, WAIT_MS);
    return () => {
      clearTimeout(timer);
      control.abort();
    };
  }, [key]);
  const answer = held.key === key && key !== null ? held : null;
  const more = async () => {
    const { results, next_cursor } = await post("/retrieve", { ...answer.body, cursor: answer.next }, { key: new_key() });
    if (now.current === answer.key) setHeld({ ...answer, matches: [...answer.matches, ...results], next: next_cursor });
  };
  return { asked: key !== null, answer, more };
}
