// Files that visitors drop, choose or paste, and what is to be seen of them.
import { request } from "./api.js";

const PICTURE = /\.(jpe?g|png|webp|gif|bmp|tiff?|heic|heif|avif|jfif)$/i;

export const is_picture = (file) => file.type.startsWith("image/") || PICTURE.test(file.name);
export const is_zip = (file) => /\.zip$/i.test(file.name);
export const PICTURES = "image/*,.heic,.heif,.avif,.tif,.tiff";

// Whether a system left a file there by itself.
export const hidden = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");

// All files of a drop or a paste, those in folders too: [{path: "cat/one.jpg", file}]. To be called in the event itself.
export async function files_of(transfer) {
  const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
  const found = entries.length
    ? (await Promise.all(entries.map(walk))).flat()
    : [...transfer.files].map((file) => ({ path: file.name, file }));
  return found.filter(({ path }) => !hidden(path));
}

// All files that were chosen in an <input type="file">, of a folder with their paths in it.
export const files_chosen = (input) =>
  [...input.files].map((file) => ({ path: file.webkitRelativePath || file.name, file })).filter(({ path }) => !hidden(path));

async function walk(entry) {
  if (entry.isFile) {
    const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
    return [{ path: entry.fullPath.replace(/^\//, ""), file }];
  }
  const reader = entry.createReader();
  const found = [];
  for (;;) {
    const batch = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (!batch.length) return found;
    for (const child of batch) found.push(...(await walk(child)));
  }
}

let turn = Promise.resolve();

// A small picture of a file as a blob; throws where neither the browser nor the service can read it. One at a time,
// decoded beside the page's own thread: a hundred and sixty photographs must not stop it.
export function small_picture(file, size = 192) {
  const next = turn.then(() => shrunk(file, size).catch(() => made_there(file, size)));
  turn = next.catch(() => {});
  return next;
}

// The same by the browser alone: a WebP as large as `size` at most, upright, in sRGB.
export async function shrunk(file, size, quality = 0.8) {
  const whole = await createImageBitmap(file);
  const scale = Math.min(1, size / Math.max(whole.width, whole.height));
  const [width, height] = [Math.max(1, Math.round(whole.width * scale)), Math.max(1, Math.round(whole.height * scale))];
  const canvas = new OffscreenCanvas(width, height);
  canvas.getContext("2d").drawImage(whole, 0, 0, width, height);
  whole.close();
  return canvas.convertToBlob({ type: "image/webp", quality });
}

// What a browser cannot read (HEIC, TIFF), the service can.
async function made_there(file, size) {
  const form = new FormData();
  form.append("file", file, file.name || "picture");
  return (await request("POST", `/thumbnails?size=${size}`, { body: form })).blob();
}
