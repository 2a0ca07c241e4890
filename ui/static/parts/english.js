// Where names are typed: the base has read English above all, and the bundled one nothing else.
import { html } from "../lib/preact.js";
import { language, useWords } from "../lib/i18n.js";
import { useOne } from "../lib/live.js";

export function EnglishHint() {
  const t = useWords();
  const base = useOne("/base").value;
  if (!base || (language.get() === "en" && !base.embedded)) return null;
  return html`<p class="hint english-hint">${t("english.hint")}</p>`;
}
