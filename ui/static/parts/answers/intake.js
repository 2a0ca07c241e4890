// The ways in for pictures: drop, choose, paste.
import { html, useEffect, useRef, useState } from "../../lib/preact.js";
import { t } from "../../lib/i18n.js";
import { PICTURES, files_chosen, files_of } from "../../lib/files.js";
import { Button } from "../button.js";

// Whether an element is to be seen: those in other tabs have no boxes.
export const is_seen = (element) => Boolean(element?.getClientRects().length);

// A button that opens the chooser of files. take([{path, file}]).
export function Choose({ take, several = true, kind = "primary", children }) {
  const input = useRef();
  const chosen = (event) => {
    const found = files_chosen(event.target);
    event.target.value = ""; // the same file may be chosen again
    take(found);
  };
  return html`<${Button} kind=${kind} onClick=${() => input.current.click()}>${children}<//>
    <input ref=${input} type="file" accept=${PICTURES} multiple=${several} hidden onChange=${chosen} />`;
}

const has_files = (transfer) => [...(transfer?.types ?? [])].includes("Files");

// Handlers for an element onto which files are dropped, and whether some hang over it.
export function useDrop(take) {
  const [over, setOver] = useState(false);
  const onDragOver = (event) => {
    if (!has_files(event.dataTransfer)) return;
    event.preventDefault();
    setOver(true);
  };
  const onDragLeave = (event) => !event.currentTarget.contains(event.relatedTarget) && setOver(false);
  const onDrop = async (event) => {
    if (!has_files(event.dataTransfer)) return;
    event.preventDefault();
    setOver(false);
    take(await files_of(event.dataTransfer));
  };
  return { over, handlers: { onDragOver, onDragLeave, onDrop } };
}

let pasted = 0;
const EXTENSION = /\.\w+$/;
const is_text_field = (element) => Boolean(element?.closest?.("textarea, input:not([type=range])"));

// Browsers call every pasted picture "image.png".
const named = ({ path, file }) => {
  if (!/^image\.\w+$/.test(path)) return { path, file };
  return { path: `${t("try.pasted", { count: (pasted += 1) })}${path.match(EXTENSION)[0]}`, file };
};

// Takes pictures that are pasted anywhere on the page while `place` is to be seen. Text that is pasted stays text.
export function usePaste(place, take) {
  const now = useRef(take);
  now.current = take;
  useEffect(() => {
    const paste = async (event) => {
      const { clipboardData } = event;
      if (event.defaultPrevented || !is_seen(place.current) || !has_files(clipboardData)) return;
      if (is_text_field(event.target) && clipboardData.types.includes("text/plain")) return;
      event.preventDefault();
      now.current((await files_of(clipboardData)).map(named));
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, []);
}
