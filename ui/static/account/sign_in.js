// The one screen for those who are not signed in.
import { html, useEffect, useState } from "../lib/preact.js";
import { useWords } from "../lib/i18n.js";
import { enter_made, make_tenant, may_sign_in_here, session, sign_in, sign_in_here } from "../lib/session.js";
import { useStore } from "../lib/store.js";
import { Button } from "../parts/button.js";
import { Check, Field } from "../parts/field.js";
import { Note } from "../parts/note.js";
import { Secret } from "../parts/secret.js";

// An error's words in the visitor's language, where there are some.
const words_of = (t, error) => (t(`error.${error.code}`) === `error.${error.code}` ? error.message : t(`error.${error.code}`, { detail: error.message }));

export function SignIn() {
  const t = useWords();
  const { error } = useStore(session);
  const [remember, setRemember] = useState(false);
  return html`<section class="sign-in" aria-labelledby="saft-sign-in">
    <h2 id="saft-sign-in">${t("sign_in.title")}</h2><p>${t("sign_in.words")}</p>
    ${error && html`<${Note} kind="warn">${t(`sign_in.${error}`)}<//>`}
    <${OwnMachine} />
    <${WithKey} remember=${remember} />
    <${Check} label=${t("sign_in.remember")} checked=${remember} onInput=${setRemember} />
    <details><summary>${t("sign_in.admin_title")}</summary><${NewTenant} remember=${remember} /></details>
  </section>`;
}

function useTry(work) {
  const t = useWords();
  const [error, setError] = useState("");
  const [busy, setBusy] = useState(false);
  const run = async (event) => {
    event?.preventDefault();
    setBusy(true);
    setError("");
    try {
      await work();
    } catch (failed) {
      setError(words_of(t, failed));
    }
    setBusy(false);
  };
  return { run, busy, error };
}

// Only where the page may sign in by itself; it finds out by asking.
function OwnMachine() {
  const t = useWords();
  const [may, setMay] = useState(false);
  useEffect(() => {
    may_sign_in_here().then(setMay, () => {});
  }, []);
  const entering = useTry(sign_in_here);
  return may && html`<form onSubmit=${entering.run}><${Button} kind="primary" type="submit" busy=${entering.busy}>${t("sign_in.here")}<//>
    <p class="hint">${t("sign_in.or_key")}</p></form>`;
}

function WithKey({ remember }) {
  const t = useWords();
  const [key, setKey] = useState("");
  const entering = useTry(() => sign_in(key.trim(), remember));
  return html`<form onSubmit=${entering.run}>
    <${Field} label=${t("sign_in.key")} type="password" autocomplete="current-password" value=${key} onInput=${setKey} name="key" />
    ${entering.error && html`<${Note} kind="bad">${entering.error}<//>`}
    <${Button} type="submit" busy=${entering.busy}>${t("sign_in.enter")}<//>
  </form>`;
}

function NewTenant({ remember }) {
  const t = useWords();
  const [admin_key, setAdminKey] = useState("");
  const [name, setName] = useState("");
  const [made, setMade] = useState(null);
  const making = useTry(async () => setMade(await make_tenant(admin_key.trim(), name.trim(), remember)));
  if (made)
    return html`<${Note} kind="good"><p>${t("sign_in.made", { name: made.name })}</p><${Secret} id="saft-new-key" text=${made.key} />
      <${Button} kind="primary" onClick=${() => enter_made(made)}>${t("sign_in.go_on")}<//><//>`;
  return html`<form onSubmit=${making.run}><p class="hint">${t("sign_in.admin_words")}</p>
    <${Field} label=${t("sign_in.admin_key")} type="password" autocomplete="off" value=${admin_key} onInput=${setAdminKey} name="admin-key" />
    <${Field} label=${t("sign_in.tenant")} value=${name} onInput=${setName} name="tenant" />
    ${making.error && html`<${Note} kind="bad">${making.error}<//>`}
    <${Button} type="submit" busy=${making.busy}>${t("sign_in.make")}<//>
  </form>`;
}
