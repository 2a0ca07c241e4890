// Says that the service is away, and that the page goes on by itself.
import { away } from "../lib/connection.js";
import { html } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { useStore } from "../lib/store.js";

export function Banner() {
  const t = useWords();
  const gone = useStore(away);
  return html`<div class="banner" role="status" hidden=${!gone}>${gone && t("connection.away")}</div>`;
}
