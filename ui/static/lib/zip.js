// Zip files, read where they lie: the directory at their end first, then each file when it is wanted. Nothing is ever
// held as a whole. The format: PKWARE's APPNOTE 6.3, sections 4.3 and 4.5 (ZIP64), names as in appendix D.
const [END, END64_LOCATOR, ENTRY, LOCAL] = [0x06054b50, 0x07064b50, 0x02014b50, 0x04034b50];
const END_BYTES = 22;
const MAX_COMMENT = 0xffff;
const MAX_ENTRIES = 100_000;
const MAX_DIRECTORY_BYTES = 64 << 20;
const MAX_FILE_BYTES = 64 << 20; // unpacked
const CP437 =
  "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0";

// code: "zip_broken", "zip_locked" (with a password), "zip_method" or "zip_large".
export class ZipError extends Error {
  constructor(code) {
    super(code);
    this.code = code;
  }
}

const bytes_of = async (blob, start, length) => {
  if (start < 0 || start + length > blob.size) throw new ZipError("zip_broken");
  return new DataView(await blob.slice(start, start + length).arrayBuffer());
};

const long = (view, at) => Number(view.getBigUint64(at, true));

// The files in a zip: [{path, start, packed, size, method, locked}]; folders are left out.
export async function read_zip(blob) {
  const { count, start, length } = await find_directory(blob);
  if (count > MAX_ENTRIES || length > MAX_DIRECTORY_BYTES) throw new ZipError("zip_large");
  const view = await bytes_of(blob, start, length);
  const entries = [];
  let at = 0;
  try {
    for (let number = 0; number < count; number += 1) {
      if (view.getUint32(at, true) !== ENTRY) throw new ZipError("zip_broken");
      const entry = entry_at(view, at);
      if (!entry.path.endsWith("/")) entries.push(entry);
      at = entry.next;
    }
  } catch (error) {
    throw error instanceof RangeError ? new ZipError("zip_broken") : error;
  }
  return entries;
}

async function find_directory(blob) {
  const length = Math.min(blob.size, END_BYTES + MAX_COMMENT);
  const view = await bytes_of(blob, blob.size - length, length);
  for (let at = length - END_BYTES; at >= 0; at -= 1) {
    if (view.getUint32(at, true) !== END) continue;
    const found = { count: view.getUint16(at + 10, true), length: view.getUint32(at + 12, true), start: view.getUint32(at + 16, true) };
    const is_64 = found.count === 0xffff || found.length === 0xffffffff || found.start === 0xffffffff;
    return is_64 && at >= 20 && view.getUint32(at - 20, true) === END64_LOCATOR ? directory_64(blob, long(view, at - 12)) : found;
  }
  throw new ZipError("zip_broken");
}

async function directory_64(blob, at) {
  const view = await bytes_of(blob, at, 56);
  return { count: long(view, 32), length: long(view, 40), start: long(view, 48) };
}

function entry_at(view, at) {
  const [flags, method] = [view.getUint16(at + 8, true), view.getUint16(at + 10, true)];
  const [name_length, extra_length] = [view.getUint16(at + 28, true), view.getUint16(at + 30, true)];
  const name = new Uint8Array(view.buffer, at + 46, name_length);
  const extra = extras(view, at + 46 + name_length, extra_length);
  let where = 0; // in the ZIP64 field, which holds in this order what is too large for its own place
  const value = (place) => {
    const found = view.getUint32(place, true);
    if (found !== 0xffffffff || !extra.has(1)) return found;
    where += 8;
    return long(view, extra.get(1) + where - 8);
  };
  const [size, packed, start] = [value(at + 24), value(at + 20), value(at + 42)];
  const next = at + 46 + name_length + extra_length + view.getUint16(at + 32, true);
  return { path: text_of(name).replaceAll("\\", "/"), start, packed, size, method, locked: Boolean(flags & 1), next };
}

function extras(view, at, length) {
  const found = new Map();
  for (let place = at; place + 4 <= at + length; place += 4 + view.getUint16(place + 2, true)) found.set(view.getUint16(place, true), place + 4);
  return found;
}

function text_of(name) {
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(name);
  } catch {
    return [...name].map((code) => (code < 128 ? String.fromCharCode(code) : CP437[code - 128])).join("");
  }
}

// One file of a zip, unpacked. Throws ZipError.
export async function unzip(blob, { start, packed, size, method, locked }) {
  if (locked) throw new ZipError("zip_locked");
  if (size > MAX_FILE_BYTES) throw new ZipError("zip_large");
  const head = await bytes_of(blob, start, 30);
  if (head.getUint32(0, true) !== LOCAL) throw new ZipError("zip_broken");
  const begin = start + 30 + head.getUint16(26, true) + head.getUint16(28, true);
  const content = blob.slice(begin, begin + packed);
  if (content.size !== packed) throw new ZipError("zip_broken");
  if (method === 0) return content;
  if (method !== 8) throw new ZipError("zip_method");
  return inflated(content, size);
}

// Not more than was promised: a few bytes may otherwise become gigabytes.
async function inflated(content, size) {
  const reader = content.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  const parts = [];
  let length = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      length += value.length;
      if (length > size) throw new ZipError("zip_broken");
      parts.push(value);
    }
  } catch {
    reader.cancel().catch(() => {});
    throw new ZipError("zip_broken");
  }
  if (length !== size) throw new ZipError("zip_broken");
  return new Blob(parts);
}
