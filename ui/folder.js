// Lets a folder be dropped, or chosen, where the page takes a zip file.
//
// A browser hands over the files of a folder without the folders' names being kept on the way to the server, and those
// names are the classes. So the folder is packed here, uncompressed, into the zip file that the server takes anyway.
// The zip is a list of parts that point at the files on disk: no image is held in memory for longer than its checksum takes.
(() => {
  const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, start) => {
    let value = start;
    for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value >>> 0;
  });

  const crc32 = (bytes) => {
    let crc = 0xffffffff;
    for (const byte of bytes) crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
    return (crc ^ 0xffffffff) >>> 0;
  };

  const MAX_ZIP_ENTRIES = 65535; // of a zip without the zip64 extension

  // Fields of 2 or 4 bytes, little-endian, as the zip format has them.
  const record = (fields) => {
    const view = new DataView(new ArrayBuffer(fields.reduce((total, [bytes]) => total + bytes, 0)));
    let at = 0;
    for (const [bytes, value] of fields) {
      if (bytes === 2) view.setUint16(at, value, true);
      else view.setUint32(at, value, true);
      at += bytes;
    }
    return view.buffer;
  };

  const zip = async (entries) => {
    const parts = [];
    const directory = [];
    let offset = 0;
    let directoryBytes = 0;
    for (const { path, file } of entries) {
      const name = new TextEncoder().encode(path);
      const crc = crc32(new Uint8Array(await file.arrayBuffer()));
      // Version 2.0, names in UTF-8, stored, 1 January 1980, checksum, sizes, lengths of the name and of nothing more.
      const common = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 33], [4, crc], [4, file.size], [4, file.size],
        [2, name.length], [2, 0]];
      const header = record([[4, 0x04034b50], ...common]);
      parts.push(header, name, file);
      const central = record([[4, 0x02014b50], [2, 20], ...common, [2, 0], [2, 0], [2, 0], [4, 0], [4, offset]]);
      directory.push(central, name);
      offset += header.byteLength + name.length + file.size;
      directoryBytes += central.byteLength + name.length;
    }
    const end = record([[4, 0x06054b50], [2, 0], [2, 0], [2, entries.length], [2, entries.length],
      [4, directoryBytes], [4, offset], [2, 0]]);
    return new Blob([...parts, ...directory, end], { type: "application/zip" });
  };

  const zone = () => document.querySelector("#saft-drop");

  const say = (text) => {
    const line = document.querySelector("#saft-drop-status");
    if (line) line.textContent = text;
  };

  const hidden = (path) => path.split("/").some((part) => part.startsWith(".") || part === "__MACOSX");

  const hand_over = async (name, found) => {
    const entries = found.filter(({ path }) => !hidden(path));
    if (!entries.length) return say("This folder is empty.");
    if (entries.length > MAX_ZIP_ENTRIES) return say("This folder has too many files.");
    say(`Packing ${entries.length} files …`);
    const packed = new File([await zip(entries)], `${name}.zip`, { type: "application/zip" });
    const input = zone()?.querySelector("input[type=file]");
    if (!input) return say("Please remove the file that is there first.");
    const transfer = new DataTransfer();
    transfer.items.add(packed);
    input.files = transfer.files;
    input.dispatchEvent(new Event("change", { bubbles: true }));
    say("");
  };

  const walk = async (entry) => {
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
  };

  const failed = (error) => say(`This folder could not be read: ${error.message}`);

  const on_drop = (event) => {
    if (!zone()?.contains(event.target)) return;
    const entries = [...event.dataTransfer.items].map((item) => item.webkitGetAsEntry?.()).filter(Boolean);
    const folders = entries.filter((entry) => entry.isDirectory);
    const one_zip = entries.length === 1 && /\.zip$/i.test(entries[0].name);
    if (!entries.length || one_zip) return;
    event.preventDefault();
    event.stopPropagation();
    if (!folders.length) {
      say("Images alone do not say which class they are. Put them into one folder per class, and drop those folders.");
      return;
    }
    const name = folders.length === 1 ? folders[0].name : "images";
    Promise.all(folders.map(walk)).then((found) => hand_over(name, found.flat())).catch(failed);
  };

  const choose_folder = () => {
    const input = document.createElement("input");
    input.type = "file";
    input.webkitdirectory = true;
    input.addEventListener("change", () => {
      const found = [...input.files].map((file) => ({ path: file.webkitRelativePath, file }));
      if (found.length) hand_over(found[0].path.split("/")[0], found).catch(failed);
    });
    input.click();
  };

  document.addEventListener("drop", on_drop, true);
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#saft-choose-folder")) choose_folder();
  });
})();
