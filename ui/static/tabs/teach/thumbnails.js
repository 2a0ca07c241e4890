// Small pictures of files that are not sent yet: made when they come into view, and the latest ones kept.
import { small_picture } from "../../lib/files.js";
import { useEffect, useState } from "../../lib/preact.js";
import { dataset_thumbnail } from "../../parts/picture.js";
import { amend, file_of } from "./draft.js";
import { mark_rejected } from "./model.js";

const SIZE = 144;
const MOST = 1500;
const made = new Map(); // by the picture's id: a promise of an address

async function make(picture) {
  return URL.createObjectURL(await small_picture(await file_of(picture), SIZE));
}

function local(picture) {
  const found = made.get(picture.id) ?? make(picture);
  made.delete(picture.id);
  made.set(picture.id, found); // the latest used is the last one
  if (made.size > MOST) let_go(made.keys().next().value);
  return found;
}

function let_go(id) {
  made.get(id).then(URL.revokeObjectURL, () => {});
  made.delete(id);
}

const watched = new WeakMap();
const observer = new IntersectionObserver(
  (changes) => changes.filter((change) => change.isIntersecting).forEach(({ target }) => watched.get(target)?.()),
  { rootMargin: "200px" },
);

// What the service cannot read either would be refused when it is sent: it is told now.
function refused(picture, { status, message }) {
  if (status === 422) amend((now) => mark_rejected(now, new Map([[picture.id, message]])));
}

// The address of a picture's thumbnail; null until it was in view, "" where it cannot be shown.
export function useThumbnail(place, picture) {
  const [src, setSrc] = useState(null);
  const stored = picture.dataset_id ? dataset_thumbnail(picture.dataset_id, picture.position) : null;
  useEffect(() => {
    if (stored) return undefined;
    const element = place.current;
    let there = true;
    watched.set(element, () => {
      observer.unobserve(element);
      local(picture).then((found) => there && setSrc(found), (error) => {
        if (there) setSrc("");
        refused(picture, error);
      });
    });
    observer.observe(element);
    return () => {
      there = false;
      observer.unobserve(element);
    };
  }, [picture.id, stored]);
  return stored ?? src;
}
