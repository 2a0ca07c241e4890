// A small place to try an adapter.
import { html, useRef, useState } from "../lib/preact.js";
import { percent, useWords } from "../lib/i18n.js";
import { send } from "../lib/api.js";
import { PICTURES } from "../lib/files.js";
import { Button } from "./button.js";

export function QuickTry({ adapter }) {
  const t = useWords();
  const input = useRef();
  const [found, setFound] = useState(null);
  const ask = async () => {
    const form = new FormData();
    form.append("adapter", adapter);
    form.append("files", input.current.files[0]);
    setFound((await send("/classify", form)).results[0].predictions);
  };
  return html`<section class="quick-try"><${Button} onClick=${() => input.current.click()}>${t("teach.try_choose")}<//>
    <input type="file" hidden ref=${input} accept=${PICTURES} onChange=${ask} />
    ${found && html`<ul>${found.slice(0, 3).map((one) => html`<li key=${one.label}>${one.label} ${percent(one.probability)}</li>`)}</ul>`}</section>`;
}
