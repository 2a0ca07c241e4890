// The key in the code: this page cannot read the one it uses, so another is made where one is wanted.
import { html, useState } from "../../lib/preact.js";
import { date, useWords } from "../../lib/i18n.js";
import { new_key, post } from "../../lib/api.js";
import { changed } from "../../lib/live.js";
import { WorkButton } from "../../parts/button.js";
import { Check } from "../../parts/field.js";
import { Note, Problem } from "../../parts/note.js";
import { Secret } from "../../parts/secret.js";

// made: the new key or null; written: whether it stands in the code.
export function Key({ made, onMade, written, onWritten }) {
  const t = useWords();
  const [error, setError] = useState(null);
  const make = async () => {
    setError(null);
    const { id, api_key } = await post("/keys", { name: t("use.key_name", { date: date(new Date()) }) }, { key: new_key() });
    onMade(api_key, id);
    changed("/keys");
  };
  return html`<${Problem} error=${error} />${made
    ? html`<${Note} kind="good"><p>${t("use.key_made")}</p><${Secret} id="saft-code-key" text=${made} />
        <${Check} label=${t("use.key_written")} checked=${written} onInput=${onWritten} /><//>`
    : html`<div class="row use-key"><p class="hint">${t("use.key_hint")}</p><${WorkButton} id="saft-make-key" work=${make} onError=${setError}>${t("use.key_make")}<//></div>`}`;
}
