import { html } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";

export function Use() {
  const t = useWords();
  return html`<h2>${t("tab.use")}</h2>`;
}
