// The pictures that are tried: files with what is to be seen of them. Only small pictures of them are held decoded.
import { useEffect, useRef, useState } from "../../lib/preact.js";
import { is_picture, shrunk, small_picture } from "../../lib/files.js";

export const MOST = 50;
const PREVIEW = 512; // the most that POST /thumbnails makes
const LARGE_BYTES = 1 << 20;
const SENT = 1024;

let ids = 0;
const sent = new WeakMap();

// What goes to the models of a file: a photograph of many megabytes goes as a smaller one, which is several times what any
// of them looks at, for it is sent again with every change of the question. What the browser cannot read goes as it is.
export function sendable(file) {
  if (file.size <= LARGE_BYTES) return file;
  if (!sent.has(file)) sent.set(file, shrunk(file, SENT, 0.92).catch(() => file));
  return sent.get(file);
}

const NOTHING = { pictures: [], left_out: [], over: 0 };
const free = (picture) => picture.url && URL.revokeObjectURL(picture.url);

// pictures: [{id, name, file, url, failed}]: url shows it once it is made; failed: nobody can show it. left_out: files that
// are no pictures. over: how many found no room. add takes [{path, file}] and gives those that were taken.
export function usePictures(most = MOST) {
  const [state, draw] = useState(NOTHING);
  const now = useRef(NOTHING);
  const set = (change) => {
    now.current = { ...now.current, ...change };
    draw(now.current);
  };
  const change = (id, found) =>
    set({ pictures: now.current.pictures.map((one) => (one.id === id ? { ...one, ...found } : one)) });
  const is_there = (id) => now.current.pictures.some((one) => one.id === id);
  const preview = async ({ id, file }) => {
    if (!is_there(id)) return;
    try {
      const blob = await small_picture(file, PREVIEW);
      if (is_there(id)) change(id, { url: URL.createObjectURL(blob) });
    } catch {
      change(id, { failed: true });
    }
  };
  const add = (found) => {
    const good = found.filter(({ file }) => is_picture(file));
    const room = Math.max(0, most - now.current.pictures.length);
    const taken = good.slice(0, room).map(({ path, file }) => ({ id: (ids += 1), name: path, file, url: null, failed: false }));
    const left_out = found.filter(({ file }) => !is_picture(file)).map(({ path }) => path);
    set({ pictures: [...now.current.pictures, ...taken], left_out, over: good.length - taken.length });
    taken.forEach(preview);
    return taken;
  };
  const remove = (id) => {
    now.current.pictures.filter((one) => one.id === id).forEach(free);
    set({ ...NOTHING, pictures: now.current.pictures.filter((one) => one.id !== id) });
  };
  const clear = () => {
    now.current.pictures.forEach(free);
    set(NOTHING);
  };
  useEffect(() => () => now.current.pictures.forEach(free), []);
  return { ...state, add, remove, clear };
}
