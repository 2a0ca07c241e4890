// Collections: pictures to search that nothing was taught with. Made, filled and deleted here.
import { html, useRef, useState } from "../../lib/preact.js";
import { percent, t as word, useWords } from "../../lib/i18n.js";
import { new_key, post, remove } from "../../lib/api.js";
import { is_touch } from "../../lib/device.js";
import { changed } from "../../lib/live.js";
import { speak } from "../../lib/speak.js";
import { Button } from "../../parts/button.js";
import { Confirm } from "../../parts/dialog.js";
import { Field } from "../../parts/field.js";
import { Choose, useDrop } from "../../parts/intake.js";
import { Note, Problem, Rejected } from "../../parts/note.js";
import { Progress } from "../../parts/progress.js";
import { add_pictures } from "./adding.js";

// "Pictures 2", or the first such name that is free.
function free_name(collections) {
  const taken = new Set(collections.map((one) => one.name));
  for (let count = collections.length + 1; ; count += 1) {
    const name = word("search.collection_name", { count });
    if (!taken.has(name)) return name;
  }
}

export function Collections({ collections, onPlace }) {
  const t = useWords();
  const [typed, setTyped] = useState(null);
  const adding = useAdding(onPlace);
  const name = typed ?? free_name(collections);
  const make = (files) => {
    if (!files.length) return;
    adding.add(files, null, name.trim() || free_name(collections));
    setTyped(null);
  };
  return html`<section class="search-own card stack" aria-labelledby="saft-own"><h3 id="saft-own">${t("search.own")}</h3>
    <p class="hint">${t("search.own_hint")}</p>
    <${DropZone} busy=${Boolean(adding.now)} onFiles=${make} />
    <${Field} label=${t("search.collection")} value=${name} onInput=${setTyped} maxlength=${200} />
    <${Adding} state=${adding} />
    ${collections.length > 0 && html`<ul class="search-collections">${collections.map((one) =>
      html`<${Row} key=${one.id} collection=${one} busy=${Boolean(adding.now)} onFiles=${(files) => adding.add(files, one)} onOpen=${() => onPlace(`collection:${one.id}`)} />`)}</ul>`}
  </section>`;
}

// One at a time: {now, done, error, add, stop}. A collection that was made for pictures of which none was taken goes again.
function useAdding(onPlace) {
  const [state, setState] = useState({ now: null, done: null, error: null });
  const control = useRef(null);
  const add = async (files, into, name) => {
    if (!files.length || control.current) return;
    control.current = new AbortController();
    const { signal } = control.current;
    setState({ now: { share: 0, name: into?.name ?? name }, done: null, error: null });
    const progress = (share) => setState((before) => ({ ...before, now: { ...before.now, share } }));
    let target = into;
    let end;
    try {
      target ??= await post("/collections", { name }, { key: new_key(), signal });
      const { added, rejected } = await add_pictures(target.id, files, { progress, signal, no_picture: word("search.no_picture") });
      end = { done: { added, rejected, name: target.name }, error: null };
      speak(word("search.added", { count: added, name: target.name }));
    } catch (error) {
      end = { done: null, error };
    }
    control.current = null;
    await settle(target, into, end, onPlace);
    setState({ now: null, ...end });
  };
  return { ...state, add, stop: () => control.current?.abort() };
}

async function settle(target, into, end, onPlace) {
  if (target && !into && end.done?.added === 0) await remove(`/collections/${target.id}`).catch(() => {});
  else if (target && end.done?.added) onPlace(`collection:${target.id}`);
  changed("/collections", "/usage");
}

function Adding({ state }) {
  const t = useWords();
  const { now, done, error } = state;
  return html`<${Problem} error=${error} />
    ${now && html`<div class="stack"><p>${t("search.adding", { name: now.name, share: percent(now.share) })}</p>
      <${Progress} share=${now.share} label=${t("search.adding", { name: now.name, share: "" })} />
      <div class="row"><${Button} onClick=${state.stop}>${t("search.stop")}<//></div></div>`}
    ${done && html`<${Note} kind=${done.added ? "good" : "bad"}><p>${t("search.added", { count: done.added, name: done.name })}</p><${Rejected} files=${done.rejected} /><//>`}`;
}

function DropZone({ busy, onFiles }) {
  const t = useWords();
  const { over, handlers } = useDrop(onFiles);
  return html`<div class="search-drop ${over ? "search-over" : ""}" ...${handlers}><p>${t(is_touch() ? "search.drop_touch" : "search.drop")}</p>
    <${Choose} id="saft-collection-files" disabled=${busy} take=${onFiles}>${t("search.choose")}<//></div>`;
}

function Row({ collection, busy, onFiles, onOpen }) {
  const t = useWords();
  const [asking, setAsking] = useState(false);
  const { over, handlers } = useDrop(onFiles);
  const { name, image_count: count } = collection;
  const erase = async () => {
    await remove(`/collections/${collection.id}`);
    changed("/collections", "/usage");
  };
  return html`<li class=${over ? "search-over" : ""} ...${handlers}><div><strong>${name}</strong><br /><span class="hint">${t("search.pictures", { count })}</span></div>
    <div class="row"><${Button} kind="quiet" aria-label=${t("search.search_this", { name })} onClick=${onOpen}>${t("search.search")}<//>
      <${Choose} kind="quiet" disabled=${busy} aria-label=${t("search.add_to", { name })} take=${onFiles}>${t("search.add")}<//>
      <${Button} kind="quiet" aria-label=${t("search.delete_this", { name })} onClick=${() => setAsking(true)}>${t("search.delete")}<//></div>
    ${asking && html`<${Confirm} title=${t("search.delete_this", { name })} words=${t("search.delete_words", { count })} yes=${t("search.delete")} work=${erase} onClose=${() => setAsking(false)} />`}
  </li>`;
}
