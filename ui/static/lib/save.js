// Has the browser save something as a file of the visitor's.
const HELD_MS = 60_000; // a browser that asks where to put a file still reads it then

export function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), HELD_MS);
}
