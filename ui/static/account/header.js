// The page's head: what this is, who is signed in, the language.
import { html, useState } from "../lib/preact.js";
import { LANGUAGES, choose_language, language, useWords } from "../lib/i18n.js";
import { count_files, keep_nothing } from "../lib/keep.js";
import { session, sign_out } from "../lib/session.js";
import { useStore } from "../lib/store.js";
import { Button } from "../parts/button.js";
import { Confirm } from "../parts/dialog.js";
import { Account } from "./account.js";

export function Header() {
  const t = useWords();
  const { state, name } = useStore(session);
  const spoken = useStore(language);
  const [open, setOpen] = useState(false);
  const [asked, setAsked] = useState(null); // what signing out would lose, in words
  const leave = async () => {
    const files = await count_files();
    if (files === 0) return leave_all();
    setAsked(files ? t("head.untaught", { count: files }) : t("head.untaught_perhaps"));
  };
  const leave_all = async () => {
    await keep_nothing();
    await sign_out();
  };
  return html`<header class="head">
    <h1 class="brand"><span class="mark" aria-hidden="true"></span>SAFT</h1>
    <p class="claim">${t("head.claim")}</p>
    <div class="head-tools">
      <select class="language" aria-label=${t("head.language")} value=${spoken}
        onChange=${(event) => choose_language(event.target.value)}>
        ${Object.entries(LANGUAGES).map(([key, text]) => html`<option value=${key} title=${text} selected=${key === spoken}>${key.toUpperCase()}</option>`)}
      </select>
      ${state === "in" && html`<${Button} kind="quiet" onClick=${() => setOpen(true)} id="saft-account" aria-label=${t("head.signed_in", { name })}>
          <span class="head-who">${t("head.signed_in", { name })}</span><span class="head-who-short" aria-hidden="true">${name}</span><//>
        <${Button} kind="quiet" onClick=${leave} id="saft-sign-out">${t("head.sign_out")}<//>`}
    </div>
    ${asked && html`<${Confirm} title=${t("head.sign_out")} words=${asked} yes=${t("head.sign_out")}
      work=${leave_all} onClose=${() => setAsked(null)} />`}
    ${open && html`<${Account} onClose=${() => setOpen(false)} />`}
  </header>`;
}
