// What the visitor has, and the keys that open it: made, renamed and revoked.
import { html, useEffect, useRef, useState } from "../lib/preact.js";
import { ago, bytes, useWords } from "../lib/i18n.js";
import { new_key, patch, post, remove } from "../lib/api.js";
import { leave } from "../lib/session.js";
import { changed, useAll, useMinutes, useOne } from "../lib/live.js";
import { Button, WorkButton } from "../parts/button.js";
import { Confirm, Dialog } from "../parts/dialog.js";
import { Field } from "../parts/field.js";
import { Note, Problem } from "../parts/note.js";
import { Secret } from "../parts/secret.js";

export function Account({ onClose }) {
  const t = useWords();
  const usage = useOne("/usage").value;
  return html`<${Dialog} title=${t("account.title")} onClose=${onClose} wide>
    ${usage && html`<p>${t("account.usage", { images: usage.usage.images, size: bytes(usage.usage.storage_bytes), adapters: usage.usage.adapters })}</p>`}
    <${Keys} own=${usage?.key_id} />
    <div class="row row-end"><${Button} onClick=${leave} id="saft-another">${t("account.another")}<//></div>
  <//>`;
}

function Keys({ own }) {
  useMinutes();
  const t = useWords();
  const keys = useAll("/keys");
  const [name, setName] = useState("");
  const [made, setMade] = useState(null);
  const [error, setError] = useState(null);
  const make = async () => {
    setError(null);
    setMade(await post("/keys", { name: name.trim() || t("keys.unnamed") }, { key: new_key() }));
    setName("");
    changed("/keys");
  };
  return html`<section aria-labelledby="keys-title"><h3 id="keys-title">${t("keys.title")}</h3>
    <p class="hint">${t("keys.hint")}</p>
    <ul class="keys">${(keys.value ?? []).map((key) => html`<${Key} key=${key.id} entry=${key} is_own=${key.id === own} onError=${setError} />`)}</ul>
    <${Problem} error=${error ?? keys.error} />
    ${made && html`<${Note} kind="good"><p>${t("keys.made")}</p><${Secret} id="saft-new-key" text=${made.api_key} /><//>`}
    <div class="row keys-form"><${Field} label=${t("keys.name")} value=${name} onInput=${setName} />
      <${WorkButton} work=${make} onError=${setError}>${t("keys.make")}<//></div>
  </section>`;
}

function Key({ entry, is_own, onError }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const [name, setName] = useState(null);
  const place = useRef();
  useEffect(() => place.current?.querySelector("input")?.select(), [name === null]); // which gives it the focus
  const rename = async () => {
    await patch(`/keys/${entry.id}`, { name: name.trim() });
    setName(null);
    changed("/keys");
  };
  const revoke = async () => {
    await remove(`/keys/${entry.id}`);
    changed("/keys");
  };
  if (name !== null)
    return html`<li class="row keys-form" ref=${place}><${Field} label=${t("keys.name")} value=${name} onInput=${setName} />
      <${WorkButton} kind="primary" work=${rename} onError=${onError} disabled=${!name.trim()}>${t("keys.save")}<//>
      <${Button} kind="quiet" onClick=${() => setName(null)}>${t("keys.cancel")}<//></li>`;
  return html`<li><div><strong>${entry.name}</strong> ${is_own && html`<span class="tag">${t("keys.own")}</span>`}<br />
      <span class="hint">${t("keys.facts", { made: ago(entry.created_at), used: entry.last_used_at ? ago(entry.last_used_at) : t("keys.never") })}</span></div>
    <div class="row"><${Button} kind="quiet" onClick=${() => setName(entry.name)} aria-label=${t("keys.rename_this", { name: entry.name })}>${t("keys.rename")}<//>
      ${!is_own && html`<${Button} kind="quiet" onClick=${() => setAsking(true)} aria-label=${t("keys.revoke_this", { name: entry.name })}>${t("keys.revoke")}<//>`}</div>
    ${asking && html`<${Confirm} title=${t("keys.revoke_this", { name: entry.name })} words=${t("keys.revoke_words")} yes=${t("keys.revoke")} work=${revoke} onClose=${() => setAsking(false)} />`}
  </li>`;
}
