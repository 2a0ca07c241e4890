// Adding pictures to a collection, some at a time: a network that breaks costs these, and each part tells what it left out.
import { upload } from "../../lib/api.js";
import { is_picture } from "../../lib/files.js";

const FILES_AT_ONCE = 32;
const BYTES_AT_ONCE = 64_000_000;

function parts_of(files) {
  const parts = [];
  let bytes = Infinity;
  for (const entry of files) {
    const last = parts.at(-1);
    bytes += entry.file.size;
    if (last && last.length < FILES_AT_ONCE && bytes <= BYTES_AT_ONCE) last.push(entry);
    else {
      parts.push([entry]);
      bytes = entry.file.size;
    }
  }
  return parts;
}

async function send_part(collection_id, part, options) {
  const form = new FormData();
  for (const { path, file } of part) form.append("files", file, path.split("/").at(-1));
  try {
    const { images, rejected } = await upload(`/collections/${collection_id}/images`, form, options);
    return { added: images.length, rejected };
  } catch (error) {
    if (error.code !== "no_images") throw error; // of this part, that is
    return { added: 0, rejected: error.rejected };
  }
}

// files: [{path, file}]. Gives {added, rejected: [{path, reason}]}; `progress` is told the share, `no_picture` why others stay out.
export async function add_pictures(collection_id, files, { progress, signal, no_picture }) {
  const pictures = files.filter(({ file }) => is_picture(file));
  const total = { added: 0, rejected: files.filter(({ file }) => !is_picture(file)).map(({ path }) => ({ path, reason: no_picture })) };
  let sent = 0;
  for (const part of parts_of(pictures)) {
    signal.throwIfAborted();
    const share = (of_part) => progress((sent + of_part * part.length) / pictures.length);
    const { added, rejected } = await send_part(collection_id, part, { progress: share, signal });
    sent += part.length;
    total.added += added;
    total.rejected.push(...rejected);
    progress(sent / pictures.length);
  }
  return total;
}
