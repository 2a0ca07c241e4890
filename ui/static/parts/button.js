// Buttons. kind: "plain", "primary", "quiet" or "danger". A button at work cannot be pressed again.
import { html, useRef, useState } from "../lib/preact.js";

export function Button({ kind = "plain", busy = false, children, onClick, ...rest }) {
  return html`<button type="button" class="button button-${kind}" disabled=${busy || rest.disabled} aria-busy=${busy}
    onClick=${onClick} ...${rest}>${children}</button>`;
}

// A button whose work takes a while: `work` is an async function.
export function WorkButton({ work, onError = () => {}, ...rest }) {
  const [busy, setBusy] = useState(false);
  const runs = useRef(false); // at once: it is only drawn as busy a moment later
  const run = async () => {
    if (runs.current) return;
    runs.current = true;
    setBusy(true);
    try {
      await work();
    } catch (error) {
      onError(error);
    } finally {
      runs.current = false;
      setBusy(false);
    }
  };
  return html`<${Button} ...${rest} busy=${busy} onClick=${run} />`;
}
