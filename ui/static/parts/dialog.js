// A dialog over the page; Escape and a click beside it close it. The browser keeps the focus in it and gives it back.
import { html, useEffect, useRef } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { Button, WorkButton } from "./button.js";
import { Problem } from "./note.js";
import { useState } from "../lib/preact.js";

let ids = 0;

export function Dialog({ title, onClose, children, wide = false }) {
  const t = useWords();
  const place = useRef();
  const id = useRef(`dialog-${(ids += 1)}`).current;
  useEffect(() => {
    const dialog = place.current; // still there when the component goes
    dialog.showModal();
    return () => dialog.close();
  }, []);
  return html`<dialog ref=${place} class="dialog ${wide ? "dialog-wide" : ""}" aria-labelledby=${id} onCancel=${onClose}
    onClick=${(event) => event.target === place.current && onClose()}>
    <div class="dialog-inside">
      <div class="dialog-head"><h2 id=${id}>${title}</h2>
        <${Button} kind="quiet" class="button button-quiet dialog-close" aria-label=${t("dialog.close")} onClick=${onClose}>×<//></div>
      ${children}
    </div>
  </dialog>`;
}

// Asks before something is done that cannot be undone; "no" has the focus.
export function Confirm({ title, words, yes, work, onClose }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const run = async () => {
    await work();
    onClose();
  };
  return html`<${Dialog} title=${title} onClose=${onClose}>
    <p>${words}</p><${Problem} error=${error} />
    <div class="row row-end">
      <${Button} autofocus onClick=${onClose}>${t("dialog.keep")}<//>
      <${WorkButton} kind="danger" work=${run} onError=${setError}>${yes}<//>
    </div>
  <//>`;
}
