// The ways in for files: choose, drop, paste. Each gives [{path, file}].
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { t } from "../lib/i18n.js";
import { PICTURES, files_chosen, files_of } from "../lib/files.js";
import { Button } from "./button.js";

// A button that opens the browser's chooser. Every choice counts, the same one again too.
export function Choose({ take, accept = PICTURES, multiple = true, folder = false, children, ...rest }) {
  const input = useRef();
  const chosen = (event) => {
    const found = files_chosen(event.target);
    event.target.value = "";
    take(found);
  };
  return html`<${Button} ...${rest} onClick=${() => input.current.click()}>${children}<//>
    <input ref=${input} type="file" hidden accept=${accept} multiple=${multiple} webkitdirectory=${folder} onChange=${chosen} tabindex="-1" aria-hidden="true" />`;
}

const holds = (transfer, kind) => [...(transfer?.types ?? [])].includes(kind);

// Handlers for an element onto which files are dropped, and whether some hang over it. other: a kind of things on the
// page that may be dropped, too, and what takes its data.
export function useDrop(take, other = null) {
  const [over, setOver] = useState(false);
  const accepts = (transfer) => holds(transfer, "Files") || holds(transfer, other?.kind);
  const onDragOver = (event) => {
    if (!accepts(event.dataTransfer)) return;
    event.preventDefault();
    setOver(true);
  };
  const onDragLeave = (event) => !event.currentTarget.contains(event.relatedTarget) && setOver(false);
  const onDrop = async (event) => {
    if (!accepts(event.dataTransfer)) return;
    event.preventDefault();
    setOver(false);
    const data = other && event.dataTransfer.getData(other.kind);
    if (data) other.take(data);
    else take(await files_of(event.dataTransfer));
  };
  return { over, handlers: { onDragOver, onDragLeave, onDrop } };
}

let pasted = 0;
const EXTENSION = /\.\w+$/;
const is_text_field = (element) => Boolean(element?.closest?.("textarea, input:not([type=range])"));
const is_seen = (element) => Boolean(element?.getClientRects().length); // those in other tabs have no boxes

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
      if (event.defaultPrevented || !is_seen(place.current) || !holds(clipboardData, "Files")) return;
      if (is_text_field(event.target) && clipboardData.types.includes("text/plain")) return;
      event.preventDefault();
      now.current((await files_of(clipboardData)).map(named));
    };
    document.addEventListener("paste", paste);
    return () => document.removeEventListener("paste", paste);
  }, []);
}
