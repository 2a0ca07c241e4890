// A key that is shown this once, with a button that copies it.
import { html, useRef } from "../lib/preact.js";
import { CopyButton } from "./copy_button.js";

export function Secret({ id, text }) {
  const shown = useRef();
  return html`<div class="secret-row"><code class="secret" id=${id} ref=${shown}>${text}</code><${CopyButton} text=${text} shown=${shown} /></div>`;
}
