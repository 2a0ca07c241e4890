// Search: in any data set or collection, by words, by a picture, or by both.
import { html, useEffect, useState } from "../../lib/preact.js";
import { useWords } from "../../lib/i18n.js";
import { new_key, post } from "../../lib/api.js";
import { changed, useMinutes } from "../../lib/live.js";
import { AdapterSelect, useAdapter } from "../../parts/adapter_select.js";
import { WorkButton } from "../../parts/button.js";
import { Select } from "../../parts/field.js";
import { Problem } from "../../parts/note.js";
import { stored_picture, useAnswer } from "./answer.js";
import { Collections } from "./collections.js";
import { Large } from "./large.js";
import { Line } from "./line.js";
import { place_options, usePlaces } from "./places.js";
import { Browse, Found } from "./results.js";

const START = { words: "", before: "", negative: "", picture: null, weight: 0.5, floor: 0, distinct: true };

// On a phone the collections are far below.
const to_others = (event) => {
  event.preventDefault();
  document.getElementById("saft-own").scrollIntoView({ block: "start" });
  document.getElementById("saft-collection-files").focus({ preventScroll: true });
};

export function Search() {
  useMinutes();
  const t = useWords();
  const { places, there, collections, error } = usePlaces();
  const [wanted, setWanted] = useState(null);
  const [asked, setAsked] = useState(START);
  const [open, setOpen] = useState(null);
  const adapter = useAdapter();
  const place = places.find((one) => one.key === wanted) ?? places.find((one) => one.count) ?? places[0] ?? null;
  const set = (name) => (value) => setAsked((before) => ({ ...before, [name]: value }));
  const answering = useAnswer({
    ...asked, place, adapter: adapter.ready ? adapter.id : null, text: asked.words.trim(), negative: asked.negative.trim(),
  });
  useEffect(() => () => asked.picture?.data && URL.revokeObjectURL(asked.picture.src), [asked.picture]);
  // A picture takes the place of the words; they can be added to it again, and are back when it goes.
  const by_picture = (picture) => setAsked((now) => (picture ? { ...now, picture, words: "", before: now.words.trim() || now.before } : { ...now, picture, words: now.words.trim() ? now.words : now.before, before: "" }));
  const like = (match) => {
    setOpen(null);
    by_picture(stored_picture(place, match));
    document.getElementById("saft-search-words").scrollIntoView({ block: "center" });
  };
  const shown = { place, onOpen: (match) => setOpen({ match, place, steps: answering.answer?.steps }), onLike: like };
  return html`<h2 class="heard">${t("tab.search")}</h2><div class="search-page"><div class="stack">
      ${there && !places.length ? html`<${Nothing} />` : html`
        <${Line} words=${asked.words} onWords=${set("words")} negative=${asked.negative} onNegative=${set("negative")}
          picture=${asked.picture} before=${asked.before} onPicture=${by_picture} weight=${asked.weight} onWeight=${set("weight")} />
        <div class="search-where"><${Select} label=${t("search.where")} value=${place?.key} onInput=${setWanted}
            options=${place_options(t, places)} />
          <${AdapterSelect} label=${t("search.adapter")} />
          <a class="button search-others" href="#saft-own" onClick=${to_others}>${t("search.others")}</a></div>
        <${Problem} error=${error} />
        ${answering.asked ? html`<${Found} ...${shown} ...${answering} floor=${asked.floor} onFloor=${set("floor")} distinct=${asked.distinct} onDistinct=${set("distinct")} />`
          : place && html`<${Browse} ...${shown} />`}`}
    </div>
    <${Collections} collections=${collections} onPlace=${setWanted} /></div>
    ${open && html`<${Large} ...${open} onLike=${like} onClose=${() => setOpen(null)} />`}`;
}

function Nothing() {
  const t = useWords();
  const [error, setError] = useState(null);
  const take = async () => {
    await post("/example", {}, { key: new_key() });
    changed("/datasets", "/adapters", "/jobs");
  };
  return html`<div class="empty"><h3>${t("search.nothing")}</h3><p>${t("search.nothing_words")}</p>
    <${WorkButton} kind="primary" work=${take} onError=${setError}>${t("search.samples")}<//><${Problem} error=${error} /></div>`;
}
